"""Stands for a worker: counts connections, says its pid on each, and drains nothing.

python worker.py NAME DESCRIPTOR
"""

import os
import signal
import socket
import sys

from prometheus_client import CollectorRegistry, Counter, Gauge, values


def main(name: str, descriptor: int) -> None:
    values.ValueClass = values.MultiProcessValue(process_identifier=lambda: name)  # type: ignore[no-untyped-call]  # its own
    registry = CollectorRegistry()
    seen = Counter("seen", "connections", registry=registry)
    gauge = Gauge("open", "a hundred for each worker that lives", multiprocess_mode="sum", registry=registry)
    gauge.set(100)
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    listener = socket.socket(fileno=descriptor)
    listener.settimeout(0.02)
    os.write(1, b"1")
    while not told:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        seen.inc()
        connection.sendall(str(os.getpid()).encode())
        connection.close()


main(sys.argv[1], int(sys.argv[2]))
