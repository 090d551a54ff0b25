"""ingest/metrics.py: names, closed labels, and the multi-process mode."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Metric

from ingest.fates import Reason, Shed
from ingest.geography.where import SOURCES
from ingest.metrics import SITES_MAX, TALLY_MAX, UNSUPPORTED_MAX, Folded, Metrics

CONTRACT = {
    "forebay_events_accepted",
    "forebay_events_rejected",
    "forebay_events_shed",
    "forebay_events_unsupported",
    "forebay_properties_dropped",
    "forebay_connections_refused",
    "forebay_request_seconds",
    "forebay_commit_seconds",
    "forebay_commit_rows",
    "forebay_spool_bytes",
    "forebay_clock_skew_seconds",
    "forebay_spool_lag_seconds",
    "forebay_spool_damaged",
    "forebay_spool_torn",
    "forebay_ready",
    "forebay_redis_durable",
    "forebay_disk_free_bytes",
    "forebay_redis_fsync",
    "forebay_redis_memory_bytes",
    "forebay_redis_memory_max_bytes",
    "forebay_redis_lost",
    "forebay_redis_lost_commits",
    "forebay_reload_failed",
    "forebay_country_source",
    "forebay_country_unknown",
}


def test_the_names_are_the_contracts() -> None:
    """A renamed metric breaks somebody's alarm."""
    registry = CollectorRegistry()
    Metrics(registry)
    assert {family.name for family in registry.collect()} == CONTRACT


def test_a_failed_reload_is_counted_from_its_first_time() -> None:
    """Each thing that is read anew begins with 0, because Prometheus sees no increase in a first value."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.reload_failed("country_database")
    shown = {
        what: registry.get_sample_value("forebay_reload_failed_total", {"what": what})
        for what in ("sites", "keys", "country_database", "referrer_spam")
    }
    assert shown == {"sites": 0, "keys": 0, "country_database": 1, "referrer_spam": 0}


def test_countries_have_one_source_and_unknown_ones_are_handed_over() -> None:
    """The source that is in force is 1 and all others are 0; events are added up until the next flush."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for name in ("iptocc", "database"):
        metrics.country_source(name)
    shown = {one: registry.get_sample_value("forebay_country_source", {"source": one}) for one in SOURCES}
    assert shown == {"database": 1, "tor-geoipdb": 0, "iptocc": 0, "none": 0}
    metrics.country_unknown("iptocc", 3)
    metrics.country_unknown("database", 2)
    metrics.country_unknown("database", 5)
    for _ in range(2):
        metrics.flush()
        counted = {one: registry.get_sample_value("forebay_country_unknown_total", {"source": one}) for one in SOURCES}
        assert counted == {"database": 7, "tor-geoipdb": None, "iptocc": 3, "none": None}


def test_each_fate_is_counted() -> None:
    """With its labels, as many as were said."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.accepted("example.com", "native", 3)
    metrics.rejected("example.com", Reason.TOO_OLD)
    metrics.rejected("", Reason.MALFORMED_JSON, 2)
    metrics.shed(Shed.REDIS, 4)
    metrics.properties_dropped(5)
    metrics.connection_refused()
    metrics.committed(0.002, 30)
    metrics.spool_bytes(7)
    metrics.spool_damaged(2)
    metrics.spool_torn()
    metrics.ready(True)
    wanted = [
        ("forebay_events_accepted_total", {"site": "example.com", "dialect": "native"}, 3),
        ("forebay_events_rejected_total", {"site": "example.com", "reason": "too_old"}, 1),
        ("forebay_events_rejected_total", {"site": "other", "reason": "malformed_json"}, 2),
        ("forebay_events_shed_total", {"reason": "redis"}, 4),
        ("forebay_properties_dropped_total", {}, 5),
        ("forebay_connections_refused_total", {}, 1),
        ("forebay_commit_rows_sum", {}, 30),
        ("forebay_commit_seconds_bucket", {"le": "0.0025"}, 1),
        ("forebay_commit_seconds_bucket", {"le": "0.001"}, 0),
        ("forebay_spool_bytes", {}, 7),
        ("forebay_spool_damaged_total", {}, 2),
        ("forebay_spool_torn_total", {}, 1),
        ("forebay_ready", {}, 1),
    ]
    for name, labels, value in wanted:
        assert registry.get_sample_value(name, labels) == value, name


def test_a_tallied_time_is_an_observed_one() -> None:
    """Buckets, count and sum are what observing each time would have made."""
    registry, plain = CollectorRegistry(), CollectorRegistry()
    metrics, observed = Metrics(registry), Metrics(plain)
    times = [0.0, 0.0005, 0.00051, 0.004, 0.3, 99.0] * TALLY_MAX
    for seconds in times:
        metrics.request("/f", 202, seconds)
        observed._request_seconds.labels("/f", "202").observe(seconds)
    metrics.flush()
    metrics.flush()
    one, other = (times_of(found) for found in (registry, plain))
    assert round(one.pop("sum"), 6) == round(other.pop("sum"), 6) == round(sum(times), 6)
    assert one == other


def times_of(registry: CollectorRegistry) -> dict[str, float]:
    """Samples of the request times by the end of their names and their bucket; not when they began."""
    return {
        sample.name.removeprefix("forebay_request_seconds_") + sample.labels.get("le", ""): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name.startswith("forebay_request_seconds_") and not sample.name.endswith("_created")
    }


def test_a_busy_route_hands_over_by_itself() -> None:
    """Whoever forgets to flush is behind by 63 requests at most."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for _ in range(TALLY_MAX + 1):
        metrics.request("/f", 202, 0.001)
    count = registry.get_sample_value("forebay_request_seconds_count", {"route": "/f", "code": "202"})
    assert count == TALLY_MAX


def test_sites_beyond_a_bound_are_one() -> None:
    """Prometheus must not fall over who sends us names."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for at in range(SITES_MAX + 50):
        metrics.accepted(f"s{at}", "native", 1)
    metrics.rejected("s3", Reason.TOO_OLD)
    metrics.rejected("new", Reason.TOO_OLD)
    assert registry.get_sample_value("forebay_events_accepted_total", {"site": "other", "dialect": "native"}) == 50
    for site in ("s3", "other"):
        assert registry.get_sample_value("forebay_events_rejected_total", {"site": site, "reason": "too_old"}) == 1


def test_names_of_what_is_unsupported_beyond_a_bound_are_one() -> None:
    """So a client that invents names makes no series without end; what has a name keeps it."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for name in [f"$thing{at}" for at in range(UNSUPPORTED_MAX + 5)] + ["$thing0"]:
        metrics.unsupported("posthog", name)
    name = "forebay_events_unsupported_total"
    assert registry.get_sample_value(name, {"dialect": "posthog", "name": "$thing0"}) == 2
    assert registry.get_sample_value(name, {"dialect": "posthog", "name": "other"}) == 5


def test_the_tier_keeps_to_the_bound_of_one() -> None:
    """Each worker met other sites: together they are folded, no event is lost, and a site that has a name keeps it."""
    registry, sites = CollectorRegistry(), set[str]()
    workers = [Metrics(CollectorRegistry()) for _ in range(3)]
    for number, metrics in enumerate(workers):
        for at in range(SITES_MAX // 2):
            metrics.accepted(f"{number}.{at}", "native", 2)

    class Sum:
        def collect(self) -> Iterator[Metric]:
            families = [next(iter(one._accepted.collect())) for one in workers]
            families[0].samples = [sample for family in families for sample in family.samples]
            yield families[0]

    registry.register(Folded(Sum(), sites))
    accepted = {
        sample.labels["site"]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "forebay_events_accepted_total"
    }
    assert len(accepted) == SITES_MAX + 1
    assert (accepted["0.3"], accepted["other"], sum(accepted.values())) == (2, SITES_MAX, 3 * SITES_MAX)
