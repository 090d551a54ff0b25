"""Stands for a worker that says why it does not start."""

import os
import sys

os.write(1, b"this Redis can lose what it acknowledged")
sys.exit(4)
