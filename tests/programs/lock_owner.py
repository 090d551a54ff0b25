"""Locks the data directory that it is given, hands the lock to a child, and prints the child's pid.

The child ends when its stdin, which is this program's, is closed.
"""

import subprocess
import sys
from pathlib import Path

from forebay.lock import lock

descriptor = lock(Path(sys.argv[1]))
with subprocess.Popen(("cat",), pass_fds=(descriptor,), stdin=0, stdout=subprocess.DEVNULL) as child:
    print(child.pid, flush=True)
