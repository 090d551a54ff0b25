"""Declares the flusher's metrics. Their names and labels are a contract (docs/data-model.md#metrics)."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)

from runtime.version import build

disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's; it would add a second series to each counter
SITES_MAX = 1_000  # label values; sites beyond fold into "other"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60)


class Metrics:
    """Holds all metrics of the flusher, in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        Info("forebay_build", "Which Forebay runs, on which Python", registry=registry).info(build())
        ProcessCollector(registry=registry)
        self._add_events(registry)
        self.stream_bytes = Gauge("forebay_stream_bytes", "Bytes of a shard's stream", ["shard"], registry=registry)
        self.lag = Gauge(
            "forebay_flush_lag_seconds", "Age of the oldest entry not stored", ["shard"], registry=registry
        )
        self.stalled = Gauge(
            "forebay_flush_stalled_seconds",
            "For how long something has waited while nothing was stored",
            ["shard"],
            registry=registry,
        )
        self.clock_skew = Gauge(
            "forebay_clock_skew_seconds", "By how much a clock is off this host's", ["clock"], registry=registry
        )
        self.freshness = Histogram(
            "forebay_freshness_seconds", "From appended to queryable, oldest entry of a block",
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.block_rows = Histogram(
            "forebay_block_rows",
            "Rows of a block",
            buckets=(1, 10, 100, 1_000, 10_000, 50_000, 100_000),
            registry=registry,
        )
        self._add_clickhouse(registry)
        self.generation = Gauge("forebay_lease_generation", "Generation of a held lease", ["shard"], registry=registry)
        self.stopped = Gauge(
            "forebay_shard_stopped", "1 while a shard is stopped and needs a person", ["shard"], registry=registry
        )
        self.shard_node = Gauge(
            "forebay_redis_shard_node",
            "1 for the server of Redis that has a shard, where there are several",
            ["shard", "node"],
            registry=registry,
        )
        self.ledger_gap = Gauge(
            "forebay_ledger_gap_events", "Events by which a shard's books are off", ["shard"], registry=registry
        )
        self.id_window = Gauge("forebay_id_window_seconds", "How far back every client id is known", registry=registry)
        self.id_filter_bytes = Gauge("forebay_id_filter_bytes", "Bytes that client ids take", registry=registry)
        self._sites: set[str] = set()

    def _add_events(self, registry: CollectorRegistry) -> None:
        """Declares what counts the fates of events."""
        self._stored = Counter(
            "forebay_events_stored_total", "Events stored in ClickHouse", ["site"], registry=registry
        )
        self._duplicate = Counter(
            "forebay_events_duplicate_total",
            "Copies of events that were stored before, by their client's id",
            ["site"],
            registry=registry,
        )
        self._erased = Counter(
            "forebay_events_erased_total", "Events that somebody had erased", ["site"], registry=registry
        )
        self.dead = Counter("forebay_events_dead_total", "Events put aside for good", ["reason"], registry=registry)
        self.columns_dropped = Counter(
            "forebay_columns_dropped_total",
            "Values left out of their event: of columns that this flusher does not know, as ingest is newer",
            registry=registry,
        )
        self.set_aside = Counter(
            "forebay_entries_set_aside_total", "Entries that can't be stored, by why", ["reason"], registry=registry
        )

    def _add_clickhouse(self, registry: CollectorRegistry) -> None:
        """Declares what measures ClickHouse and its blocks."""
        self.insert_seconds = Histogram("forebay_insert_seconds", "One INSERT", buckets=SECONDS, registry=registry)
        self.retries = Counter(
            "forebay_insert_retries_total", "INSERTs sent again, by why", ["kind"], registry=registry
        )
        self.healed = Counter(
            "forebay_block_healed_total", "Blocks found short or in surplus and repaired", registry=registry
        )
        self.clickhouse_up = Gauge(
            "forebay_clickhouse_up", "Whether ClickHouse answered when it was last asked", registry=registry
        )
        self.clickhouse_free_bytes = Gauge(
            "forebay_clickhouse_free_bytes", "Free bytes of ClickHouse's fullest disk", registry=registry
        )
        self.missing = Counter(
            "forebay_blocks_missing_total", "Stored blocks that ClickHouse lost, by fate", ["fate"], registry=registry
        )

        self.closed = Counter(
            "forebay_closed_events_total", "Events of closed days whose visits were copied", registry=registry
        )

    def stored(self, events: Mapping[str, int]) -> None:
        """Counts stored events by site."""
        self._count(self._stored, events)

    def duplicate(self, events: Mapping[str, int]) -> None:
        """Counts copies that were left out, by site."""
        self._count(self._duplicate, events)

    def erased(self, events: Mapping[str, int]) -> None:
        """Counts events that were erased, by site."""
        self._count(self._erased, events)

    def _count(self, family: Counter, events: Mapping[str, int]) -> None:
        """Counts events by site.

        Sites beyond SITES_MAX are added up first, because each label costs the library 1 us and a block may hold as
        many sites as rows.
        """
        known = self._sites
        other = 0
        for site, count in events.items():
            if site not in known:
                if len(known) >= SITES_MAX:
                    other += count
                    continue
                known.add(site)
            family.labels(site).inc(count)
        if other:
            family.labels("other").inc(other)
