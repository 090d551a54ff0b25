"""Owns a directory of counters as a tier does, prints it, and ends with its stdin.

python holding.py NAMED MEMORY
"""

import sys
from pathlib import Path

from ingest import run_dir

with run_dir.own(sys.argv[1] or None, Path(sys.argv[2])) as directory:
    (directory / "counter_0.db").touch()
    print(directory, flush=True)
    sys.stdin.read()
