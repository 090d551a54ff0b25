"""Counts what ingest does, for Prometheus. Names are a contract (docs/data-model.md#metrics).

Label sets are closed: routes and reasons by their types, and sites and the names of what is unsupported by bounds, beyond
which they are `other`; so is a site that is not known. It works in the client library's multi-process mode: whoever starts a worker sets
PROMETHEUS_MULTIPROC_DIR and the worker's stable identifier before this module is imported.

Request times are added up in plain integers and handed over every 64 requests and by `flush`, because to observe each
costs 2.0 us in multi-process mode, and so 0.3.

The tier keeps to the same bound over all its workers and their predecessors (`Folded`).

Not promised: that `other` is always the same sites. The first 1 000 that a process meets have names.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Literal, Protocol, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, disable_created_metrics
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from ingest.commit.sheds import Sheds
from ingest.fates import Reason, Shed
from ingest.geography.where import SOURCES
from schemas.durability import Proof, Setting

disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's; a second series for each, which nobody asks for
OTHER = "other"
SITES_MAX = 1_000
UNSUPPORTED_MAX = 200
NODES_MAX = 64  # servers of Redis with series of their own
TALLY_MAX = 64
REQUEST_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
# What a worker reads anew while it runs. Where that can't be used, the last good one stays in force.
Reloaded = Literal["sites", "keys", "country_database", "referrer_spam"]
COMMIT_ROWS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)


class Source(Protocol):
    """Gives metrics as they stand."""

    def collect(self) -> Iterable[Metric]: ...


class Folded(Collector):
    """Collects the workers' metrics with no more sites than one process would show: the first it met, and `other`.

    Each worker keeps to the bound, and so did each worker before it whose counters it took over; together they don't.
    """

    def __init__(self, source: Source, sites: set[str]) -> None:
        """Takes the sites that have names; the caller keeps them from one scrape to the next, so that they keep them."""
        self._source = source
        self._sites = sites

    def collect(self) -> Iterator[Metric]:
        for metric in self._source.collect():
            summed: dict[tuple[str, ...], Sample] = {}
            for sample in metric.samples:
                labels = sample.labels
                if "site" in labels:
                    labels = {**labels, "site": self._label(labels["site"])}
                key = (sample.name, *(part for item in sorted(labels.items()) for part in item))
                before = summed[key].value if key in summed else 0
                summed[key] = sample._replace(labels=labels, value=before + sample.value)
            metric.samples = list(summed.values())
            yield metric

    def _label(self, site: str) -> str:
        if site not in self._sites and len(self._sites) >= SITES_MAX:
            return OTHER
        if site != OTHER:
            self._sites.add(site)
        return site


class _Tally:
    """Adds up request times of one route and code until they are handed over."""

    __slots__ = ("buckets", "requests", "seconds", "shown")

    def __init__(self, shown: Histogram) -> None:
        self.shown = shown
        self.buckets = [0] * (len(REQUEST_SECONDS) + 1)
        self.requests = 0
        self.seconds = 0.0

    def hand_over(self) -> None:
        # The library can observe one value at a time only; these two are what `observe` itself moves.
        self.shown._sum.inc(self.seconds)
        for bucket, requests in zip(self.shown._buckets, self.buckets, strict=True):
            if requests:
                bucket.inc(requests)
        self.buckets = [0] * len(self.buckets)
        self.requests = 0
        self.seconds = 0.0


class Metrics:
    """Holds the metrics of one ingest process."""

    def __init__(self, registry: CollectorRegistry, sheds: Sheds | None = None) -> None:
        self._sheds = sheds
        self._accepted = Counter(
            "forebay_events_accepted_total", "Events made durable", ["site", "dialect"], registry=registry
        )
        self._rejected = Counter(
            "forebay_events_rejected_total", "Events refused for good", ["site", "reason"], registry=registry
        )
        self._shed = Counter("forebay_events_shed_total", "Events answered 503", ["reason"], registry=registry)
        self._unsupported = Counter(
            "forebay_events_unsupported_total",
            "Things said in another family's words that become no event, answered as a success",
            ["dialect", "name"],
            registry=registry,
        )
        self._properties_dropped = Counter(
            "forebay_properties_dropped_total", "Properties and vitals left out of their event", registry=registry
        )
        self._spool_damaged = Counter(
            "forebay_spool_damaged_total", "Commits that could not be read back from the spool", registry=registry
        )
        self._spool_torn = Counter(
            "forebay_spool_torn_total", "Spool files that ended in the middle of a commit", registry=registry
        )
        self._connections_refused = Counter(
            "forebay_connections_refused_total", "Connections over the limit", registry=registry
        )
        self._request_seconds = Histogram(
            "forebay_request_seconds",
            "From a request's head to its answer",
            ["route", "code"],
            buckets=REQUEST_SECONDS,
            registry=registry,
        )
        self._commit_seconds = Histogram(
            "forebay_commit_seconds", "From a commit's seal to durable", buckets=COMMIT_SECONDS, registry=registry
        )
        self._commit_rows = Histogram("forebay_commit_rows", "Rows of a commit", buckets=COMMIT_ROWS, registry=registry)
        self._spool_bytes = Gauge(
            "forebay_spool_bytes", "Bytes in the spool", multiprocess_mode="sum", registry=registry
        )
        self._spool_seconds = Gauge(
            "forebay_spool_lag_seconds",
            "For how long the spool has not been empty",
            multiprocess_mode="max",
            registry=registry,
        )
        self._ready = Gauge(
            "forebay_ready", "1 when an event would be made durable now", multiprocess_mode="min", registry=registry
        )
        self._add_redis(registry)
        self._add_country(registry)
        self._sites: set[str] = set()
        self._said: set[tuple[str, str]] = set()  # what was unsupported, by dialect and name
        self._children: dict[tuple[str, str, str], Counter] = {}
        self._shed_by = {reason: self._shed.labels(reason.value) for reason in Shed}
        self._tallies: dict[tuple[str, int], _Tally] = {}
        self.ready(False)
        self.spool_bytes(0)
        self.spool_lag(0)

    def _add_redis(self, registry: CollectorRegistry) -> None:
        self._nodes: dict[str, None] = {}
        self._redis_memory = Gauge(
            "forebay_redis_memory_bytes",
            "Memory that Redis uses, by server where there are several",
            ["node"],
            multiprocess_mode="max",
            registry=registry,
        )
        self._redis_memory_max = Gauge(
            "forebay_redis_memory_max_bytes",
            "maxmemory of Redis; 0 is no limit",
            ["node"],
            multiprocess_mode="max",
            registry=registry,
        )
        self._disk_free = Gauge(
            "forebay_disk_free_bytes",
            "Free bytes of the disk that this is on: redis, spool",
            ["where"],
            multiprocess_mode="min",
            registry=registry,
        )
        self._clock_skew = Gauge(
            "forebay_clock_skew_seconds",
            "By how much a clock is off this host's",
            ["clock"],
            multiprocess_mode="max",
            registry=registry,
        )
        self._redis_durable = Gauge(
            "forebay_redis_durable",
            "0 while this setting of Redis, or its state, can lose what was acknowledged",
            ["setting"],
            multiprocess_mode="min",
            registry=registry,
        )
        self._redis_lost = Counter(
            "forebay_redis_lost_total",
            "Times that Redis was found without commits it had acknowledged, or empty",
            registry=registry,
        )
        self._redis_lost_commits = Counter(
            "forebay_redis_lost_commits_total",
            "Commits that Redis had acknowledged and lost, as far as they could be counted",
            registry=registry,
        )
        self._redis_fsync = Gauge(
            "forebay_redis_fsync",
            "1 for how it is known that Redis fsyncs before it answers: config, waitaof, or trusted (it is not known)",
            ["proof"],
            multiprocess_mode="max",
            registry=registry,
        )

    def _add_country(self, registry: CollectorRegistry) -> None:
        self._reload_failed = Counter(
            "forebay_reload_failed_total",
            "Times that something could not be read anew, so that the last good one stayed in force",
            ["what"],
            registry=registry,
        )
        self._country_source = Gauge(
            "forebay_country_source",
            "1 for the source of countries that is in force: database, tor-geoipdb, iptocc, none",
            ["source"],
            multiprocess_mode="max",
            registry=registry,
        )
        self._country_unknown = Counter(
            "forebay_country_unknown_total",
            "Events whose country neither a header nor the source in force knew",
            ["source"],
            registry=registry,
        )
        for what in get_args(Reloaded):
            self._reload_failed.labels(what)  # begins with 0, so that the alert sees the first one
        self._unknown = dict.fromkeys(SOURCES, 0)  # events since the last flush, by source

    def accepted(self, site: str, dialect: str, events: int) -> None:
        """Counts events of a site that a commit made durable."""
        self._child(self._accepted, self._label(site), dialect).inc(events)

    def rejected(self, site: str, reason: Reason, events: int = 1) -> None:
        self._child(self._rejected, self._label(site), reason.value).inc(events)

    def shed(self, reason: Shed, events: int) -> None:
        self._shed_by[reason].inc(events)
        if self._sheds is not None:
            self._sheds.shed(reason, events)

    def unsupported(self, dialect: str, name: str) -> None:
        """Counts what a client said that becomes no event. Beyond UNSUPPORTED_MAX names a new one is `other`."""
        if (dialect, name) not in self._said and len(self._said) >= UNSUPPORTED_MAX:
            name = OTHER
        self._said.add((dialect, name))
        self._child(self._unsupported, dialect, name).inc()

    def properties_dropped(self, properties: int) -> None:
        self._properties_dropped.inc(properties)

    def connection_refused(self) -> None:
        self._connections_refused.inc()

    def request(self, route: str, code: int, seconds: float) -> None:
        """Counts one answered request. `route` is from a closed set: the collecting routes and a few more."""
        tally = self._tallies.get((route, code))
        if tally is None:
            tally = self._tallies[route, code] = _Tally(self._request_seconds.labels(route, str(code)))
        tally.buckets[bisect_left(REQUEST_SECONDS, seconds)] += 1
        tally.seconds += seconds
        tally.requests += 1
        if tally.requests >= TALLY_MAX:
            tally.hand_over()

    def committed(self, seconds: float, rows: int) -> None:
        self._commit_seconds.observe(seconds)
        self._commit_rows.observe(rows)

    def spool_bytes(self, size: int) -> None:
        self._spool_bytes.set(size)

    def spool_lag(self, seconds: float) -> None:
        self._spool_seconds.set(seconds)

    def spool_damaged(self, records: int) -> None:
        self._spool_damaged.inc(records)

    def spool_torn(self) -> None:
        self._spool_torn.inc()

    def clock_skew(self, clock: str, seconds: float) -> None:
        """Shows by how much a clock is off this host's, either way."""
        self._clock_skew.labels(clock).set(seconds)

    def ready(self, is_ready: bool) -> None:
        self._ready.set(is_ready)

    def durability(self, settings: frozenset[Setting], proof: Proof) -> None:
        """Shows which settings of Redis are at fault, and how it is known that Redis fsyncs."""
        for setting in Setting:
            self._redis_durable.labels(setting.value).set(setting not in settings)
        for one in Proof:
            self._redis_fsync.labels(one.value).set(one is proof)

    def redis_memory(self, memory: Mapping[str, tuple[int, int]]) -> None:
        """Shows what each server of Redis uses and may use, in bytes, as it said last. One that left shows 0."""
        self._nodes |= dict.fromkeys(islice(memory, NODES_MAX))
        for node in self._nodes:
            used, most = memory.get(node, (0, 0))
            self._redis_memory.labels(node).set(used)
            self._redis_memory_max.labels(node).set(most)

    def disk_free(self, where: str, size: int) -> None:
        """Shows the free bytes of a disk. `where` is from a closed set: redis, spool."""
        self._disk_free.labels(where).set(size)

    def reload_failed(self, what: Reloaded) -> None:
        """Counts that what was read anew can't be used. Log once what is wrong with it."""
        self._reload_failed.labels(what).inc()

    def country_source(self, name: str) -> None:
        """Shows which source of countries is in force."""
        for one in SOURCES:
            self._country_source.labels(one).set(one == name)

    def country_unknown(self, source: str, events: int) -> None:
        """Counts events whose country is not known; they are added up, and handed over by `flush`."""
        self._unknown[source] += events

    def redis_lost(self, times: int, commits: int) -> None:
        """Counts times that Redis lacked what it had acknowledged, and how many commits those were."""
        self._redis_lost.inc(times)
        self._redis_lost_commits.inc(commits)

    def flush(self) -> None:
        """Hands over what was added up. Call it once a second, and before the process ends."""
        for tally in self._tallies.values():
            if tally.requests:
                tally.hand_over()
        for source, events in self._unknown.items():
            if events:
                self._country_unknown.labels(source).inc(events)
                self._unknown[source] = 0
        if self._sheds is not None:
            self._sheds.flush()

    def _label(self, site: str) -> str:
        if site in self._sites:
            return site
        if not site or len(self._sites) >= SITES_MAX:
            return OTHER
        self._sites.add(site)
        return site

    def _child(self, family: Counter, first: str, second: str) -> Counter:
        # 0.1 us; family.labels() takes 0.8
        key = (family._name, first, second)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = family.labels(first, second)
        return child
