"""Counts in the slot that it is given, and ends as a killed worker does: only the files of its slot stay."""

import sys

from prometheus_client import CollectorRegistry, values

from ingest.metrics import Metrics

slot = int(sys.argv[1])
values.ValueClass = values.MultiProcessValue(process_identifier=lambda: slot)  # type: ignore[no-untyped-call]  # the library's
metrics = Metrics(CollectorRegistry())
metrics.accepted("a", "native", 2)
metrics.request("/f", 202, 0.001)
metrics.flush()
metrics.spool_bytes(10)
metrics.ready(slot == 0)
