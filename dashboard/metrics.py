"""Declares the dashboard's metrics. Their names and labels are a contract (docs/data-model.md#metrics).

What an alert counts begins at 0 and not with the first that is counted: Prometheus sees no increase in a first value, and one report
that did not arrive is one too many.
"""

from __future__ import annotations

from itertools import product
from typing import get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)

from runtime.notify.message import Kind, Reason
from runtime.version import build

disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's; it would add a second series to each counter
LOGINS_FAILED = ("wrong", "throttled_address", "throttled_user", "throttled_all", "throttled_device")
LINKS_FAILED = ("wrong", "throttled")
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """Holds all metrics of the dashboard, in one registry. `query` is the name of a catalogue file."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        Info("forebay_build", "Which Forebay runs, on which Python", registry=registry).info(build())
        ProcessCollector(registry=registry)
        self.questions = Counter(
            "forebay_dashboard_questions_total",
            "Questions that ClickHouse was asked, by how they ended",
            ["query", "result"],
            registry=registry,
        )
        self.seconds = Histogram(
            "forebay_dashboard_question_seconds",
            "One question to ClickHouse, with what it waited for its turn",
            ["query"],
            buckets=SECONDS,
            registry=registry,
        )
        self.cache_hits = Counter(
            "forebay_dashboard_cache_hits_total", "Answers that were remembered from seconds ago", registry=registry
        )
        self.coalesced = Counter(
            "forebay_dashboard_coalesced_total", "Questions that waited for the same one's answer", registry=registry
        )
        self.cache_bytes = Gauge(
            "forebay_dashboard_cache_bytes", "Bytes of the answers that are remembered", registry=registry
        )
        self._declare_messages(registry)
        self.assistant_calls = Counter(
            "forebay_dashboard_assistant_calls_total",
            "Calls of assistants, by the tool and by how they ended",
            ["tool", "result"],
            registry=registry,
        )
        self.refused = Counter(
            "forebay_dashboard_refused_total", "Requests that were not answered, by why", ["why"], registry=registry
        )
        self._declare_access(registry)
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        for fate in LOGINS_FAILED:
            self.logins.labels(fate)
        for fate in LINKS_FAILED:
            self.links.labels(fate)
        for kind, reason in product(get_args(Kind), get_args(Reason)):
            for channel in ("",) if reason == "nowhere" else ("mail", "webhook"):
                self.messages.labels(kind, channel, "failed", reason)

    def _declare_access(self, registry: CollectorRegistry) -> None:
        """Declares what is counted of people who want to look."""
        self.logins = Counter(
            "forebay_dashboard_logins_total",
            "Attempts to log in, and to change a password, by how they ended",
            ["fate"],
            registry=registry,
        )
        self.sessions = Counter(
            "forebay_dashboard_sessions_total",
            "Sessions that were ended by their user, by how",
            ["how"],
            registry=registry,
        )
        self.links = Counter(
            "forebay_dashboard_links_total",
            "Attempts to open a public link, by how they ended",
            ["fate"],
            registry=registry,
        )
        self.new_devices = Counter(
            "forebay_dashboard_new_devices_total",
            "Logins from devices that were new to their user, by whether somebody was told",
            ["told"],
            registry=registry,
        )

    def _declare_messages(self, registry: CollectorRegistry) -> None:
        """Declares what is counted of messages to people."""
        self.messages = Counter(
            "forebay_dashboard_messages_total",
            "Messages to people, by what became of them at one destination",
            ["kind", "channel", "fate", "reason"],
            registry=registry,
        )
        self.attempts_failed = Counter(
            "forebay_dashboard_message_attempts_failed_total",
            "Attempts to send a message to people that failed, by why",
            ["channel", "reason"],
            registry=registry,
        )
        self.looks = Counter(
            "forebay_dashboard_report_looks_total",
            "Looks for reports and alarms that are due, by what came of them",
            ["result"],
            registry=registry,
        )

    def fate(self, kind: str, channel: str, fate: str, reason: str) -> None:
        """Counts what became of a message to people at one destination: `sent`, or `failed` with its reason."""
        self.messages.labels(kind, channel, fate, reason).inc()

    def attempt_failed(self, channel: str, reason: str) -> None:
        """Counts an attempt to send a message that failed."""
        self.attempts_failed.labels(channel, reason).inc()
