"""Starts the command that it is given as its child, prints the child's pid, and lives on."""

import subprocess
import sys
import time

child = subprocess.Popen(sys.argv[1:])
print(child.pid, flush=True)
time.sleep(60)
