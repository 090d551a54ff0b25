"""Shows what the tier's processes use of the machine, in Prometheus's own names (`process_cpu_seconds_total` ...).

Each process has a name of its own in the label `process`, because a sum would fall whenever a worker is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import Metric, ProcessCollector
from prometheus_client.registry import Collector


class Processes(Collector):
    """Collects the `process_*` metrics of several processes."""

    def __init__(self, pids: Callable[[], Mapping[str, int]]) -> None:
        """Takes what gives the pids by name, as of now; a process that has ended is left out."""
        self._pids = pids

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for name, pid in self._pids().items():
            for family in ProcessCollector(pid=_said(pid), registry=None).collect():
                samples = [sample._replace(labels={**sample.labels, "process": name}) for sample in family.samples]
                if family.name in families:
                    families[family.name].samples += samples
                else:
                    family.samples = samples
                    families[family.name] = family
        yield from families.values()


def _said(pid: int) -> Callable[[], int]:
    return lambda: pid
