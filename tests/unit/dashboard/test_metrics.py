"""What an alert counts of the dashboard is there before it happens."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from dashboard.metrics import Metrics


def test_failures_begin_at_zero() -> None:
    """Prometheus sees no increase in a first value, and one report that did not arrive is one too many."""
    registry = CollectorRegistry()
    Metrics(registry)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"forebay_dashboard_{name}_total", labels)

    assert value("logins", fate="throttled_user") == 0
    assert value("links", fate="wrong") == 0
    assert value("messages", kind="report", channel="mail", fate="failed", reason="refused") == 0
    assert value("messages", kind="login", channel="", fate="failed", reason="nowhere") == 0
    assert value("messages", kind="report", channel="mail", fate="sent", reason="") is None
