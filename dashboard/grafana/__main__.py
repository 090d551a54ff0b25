"""Prints the dashboard for Grafana: `python -m dashboard.grafana >deploy/grafana/dashboards/sites.json`, which is `make grafana`."""

from __future__ import annotations

import sys

from dashboard.grafana.board import board

if __name__ == "__main__":
    sys.stdout.buffer.write(board())
