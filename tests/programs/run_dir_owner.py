"""Owns a directory of counters as a tier does, prints it, and ends with its stdin.

Words: the directory that `forebay up` named, or "", and the memory in which the tier makes its own.
"""

import sys
from pathlib import Path

from ingest import run_dir

with run_dir.own(sys.argv[1] or None, Path(sys.argv[2])) as directory:
    (directory / "counter_0.db").touch()
    print(directory, flush=True)
    sys.stdin.read()
