"""Stands for a worker that is ready, was not for a moment, and is not any more after SIGUSR1."""

import os
import signal
import time

signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b"0"))
os.write(1, b"101")
while True:
    time.sleep(60)
