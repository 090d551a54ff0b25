"""Starts the `forebay` command, also out of a wheel, which holds our other packages inside this one.

A wheel that put `schemas` or `runtime` beside everybody else's packages would take names that are not ours to take. So
they lie in `forebay/packages` there, and are found by our own processes alone: this one, and those that it starts.
"""

import os
import sys
from pathlib import Path


def main(words: list[str] | None = None) -> int:
    """Returns the exit code of the command; a program that takes our place (`forebay ingest`) never returns."""
    packages = Path(__file__).with_name("packages")
    if packages.is_dir():
        sys.path.insert(0, str(packages))
        others = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(packages), others] if others else [str(packages)])
    from forebay.command_line import main as command  # what it imports is found only now

    return command(words)


if __name__ == "__main__":
    sys.exit(main())
