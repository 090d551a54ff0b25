"""Serves the embedded engine as `python -m forebay.embedded.clickhouse` does, and gives up a question that hears nothing soon."""

from forebay.embedded.clickhouse import __main__ as service
from forebay.embedded.clickhouse import lanes
from runtime.ending import leave

lanes.LOST_SECONDS = 3.0  # instead of thirty, in which it keeps a core busy

if __name__ == "__main__":
    leave(service.main())
