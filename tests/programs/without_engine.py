"""Runs the `forebay` command as if chDB were not installed."""

import sys

from forebay.command_line import main

sys.modules["chdb"] = None  # type: ignore[assignment]  # the import system's own way to say that there is none
sys.exit(main(sys.argv[1:]))
