"""Stands for a worker that does not start."""

import sys

sys.exit(1)
