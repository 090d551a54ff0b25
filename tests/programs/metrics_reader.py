"""Prints what all workers of a directory counted, in Prometheus' text format."""

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

registry = CollectorRegistry()
MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library's
print(generate_latest(registry).decode())
