"""The generator's events are the same from the same seed, all valid, and like the web's."""

import json
import re
import uuid
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Literal

import msgspec
import pytest

from ingest.collect.sites import Sites
from ingest.collect.url import located
from ingest.dialects.event import Event, Limits, event_ms
from ingest.fates import Reason
from loadtest.load.generate import Plan, Request, ahead, arrivals, requests
from schemas.row import months_of
from tests.support.collecting import Bench

NOW_MS = 1_774_000_000_000
SITES = ("demo", "example.com", "münchen.example")
PLAN = Plan(rate=2_000, duration_s=2, sites=SITES, run="a", base_ms=NOW_MS)


@pytest.fixture(scope="module")
def made() -> list[Request]:
    return list(requests(PLAN))


@pytest.fixture(scope="module")
def events(made: list[Request]) -> list[Event]:
    return [msgspec.json.decode(request.body, type=Event) for request in made]


def headers_of(request: Request) -> dict[str, str]:
    lines = request.headers.decode("ascii").split("\r\n")
    assert lines.pop() == ""
    return dict(line.split(": ", 1) for line in lines)


def test_same_plan_same_bytes(made: list[Request]) -> None:
    """The plan decides everything, so a failing run can be repeated."""
    assert list(requests(PLAN)) == made


def test_another_seed_makes_other_visits(made: list[Request]) -> None:
    """A seed changes the visits."""
    assert [request.body for request in requests(replace(PLAN, seed=2))][:100] != [one.body for one in made][:100]


def test_another_run_makes_the_same_visits_under_other_ids(made: list[Request]) -> None:
    """A server that deduplicates would take the second run for resends of the first."""
    again = list(requests(replace(PLAN, run="b")))
    assert not {name for one in again for name in one.ids} & {name for one in made for name in one.ids}

    def without_id(request: Request) -> object:
        return {key: value for key, value in json.loads(request.body).items() if key != "id"}

    assert [without_id(one) for one in again] == [without_id(one) for one in made]


def test_ids_are_distinct_random_uuids_and_those_of_the_body(made: list[Request]) -> None:
    """The reconciliation relies on that."""
    ids = [name for request in made for name in request.ids]
    assert len(ids) == len(set(ids))
    assert all(uuid.UUID(name).version == 4 and str(uuid.UUID(name)) == name for name in ids)
    assert [json.loads(request.body)["id"] for request in made] == ids


async def test_every_event_is_one_the_server_takes(made: list[Request], events: list[Event]) -> None:
    """No event of the generator's is rejected, and none loses a property."""
    bench = await Bench(sites=Sites(named=SITES, privacy="count"), now_ms=NOW_MS + 2_000).ready()
    for request in made:
        bench.row(request.body)
    assert not bench.reasons
    assert not bench.counts.properties
    for event in events:
        location = located(event.url or "")
        assert location is not None
        assert event.site in SITES
        assert location.host in {"demo.example", "example.com", "xn--mnchen-3ya.example"}


def test_the_mix_holds_what_the_web_holds(events: list[Event]) -> None:
    """There are all kinds of events, campaigns, long and non-ASCII URLs, referrers and languages."""
    names = Counter(event.name or "pageview" for event in events)
    urls = [event.url or "" for event in events]
    assert names["pageview"] > 0.75 * len(events)
    assert {"engagement", "vitals", "signup", "purchase"} <= set(names)
    assert any("utm_source=" in url for url in urls)
    assert any(len(url.encode()) > 500 for url in urls)
    assert any(not url.isascii() for url in urls)
    assert any("%" in url for url in urls)
    assert any(not (event.title or "").isascii() for event in events)
    assert len({event.referrer for event in events}) > 50
    assert len({event.language for event in events}) > 10


def moment_of(event: Event, now_ms: int) -> int | Reason:
    return now_ms if event.ts is None else event_ms(event.ts, event.sent_at, now_ms, Limits())


def test_some_clocks_are_late_by_minutes(events: list[Event]) -> None:
    """Times come in both forms, and never so late that an event would be rejected."""
    late = [event for event in events if event.ts is not None]
    assert 0 < len(late) < 0.05 * len(events)
    assert {type(event.ts) for event in late} == {int, str}
    ages_s = [(NOW_MS - moment) / 1000 for event in late if isinstance(moment := moment_of(event, NOW_MS), int)]
    assert all(50 <= age <= 700 for age in ages_s)


def test_late_clocks_reach_into_the_month_before() -> None:
    """At the start of a month a block spans two partitions, as in production."""
    first_ms = 1_772_323_200_000  # 2026-03-01
    decoded = [msgspec.json.decode(one.body, type=Event) for one in requests(replace(PLAN, base_ms=first_ms))]
    moments = [moment_of(event, first_ms) for event in decoded]
    assert months_of([moment for moment in moments if isinstance(moment, int)]) == [202602, 202603]


def test_sites_and_pages_have_a_head_and_a_tail(events: list[Event]) -> None:
    """Some pages are hot and many are seen once, so that caches are not flattered."""
    sites = Counter(event.site for event in events)
    assert [name for name, _ in sites.most_common()] == list(SITES)
    pages = Counter((event.url or "").partition("?")[0] for event in events)
    assert pages.most_common(1)[0][1] > 20 * len(events) / len(pages) / 2
    assert sum(count == 1 for count in pages.values()) > 20


def test_one_machine_looks_like_many_visitors(made: list[Request]) -> None:
    """Each address has one browser, and visits have several pages."""
    by_address: dict[str, set[str]] = {}
    for request in made:
        headers = headers_of(request)
        by_address.setdefault(headers["X-Forwarded-For"], set()).add(headers["User-Agent"])
        assert headers["Content-Type"] in {"text/plain", "application/json"}
        assert headers["Origin"].startswith("https://")
    assert len(by_address) > len(made) / 10
    assert all(len(agents) == 1 for agents in by_address.values())
    visits = Counter(headers_of(request)["X-Forwarded-For"] for request in made)
    assert 2 < len(made) / len(visits) < 8
    assert len({agent for agents in by_address.values() for agent in agents}) > 30
    assert any(":" in address for address in by_address)
    private = re.compile(r"^(10|127|192\.168|172\.(1[6-9]|2\d|3[01])|169\.254)\.")
    assert not any(private.match(address) for address in by_address)


def test_a_body_of_many_is_an_array_of_one_visitors_events() -> None:
    """The rate counts events, so fifty in a body mean a fiftieth of the requests."""
    made = list(requests(replace(PLAN, bodies=((50, 1.0),), arrivals="fixed")))
    assert len(made) == 2_000 * 2 / 50
    for request in made:
        body = json.loads(request.body)
        assert [event["id"] for event in body] == request.ids
        assert len(body) == 50
        assert len({event["language"] for event in body}) == 1


def test_fixed_arrivals_keep_the_interval() -> None:
    """They begin at 0 and have the rate."""
    offsets = list(arrivals(Plan(rate=10, duration_s=1, arrivals="fixed")))
    assert offsets == pytest.approx([number / 10 for number in range(10)])


def test_poisson_arrivals_have_the_rate_and_its_spread() -> None:
    """Gaps of a Poisson process deviate by as much as their mean."""
    offsets = list(arrivals(Plan(rate=1_000, duration_s=20)))
    gaps = [later - earlier for earlier, later in pairwise(offsets)]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert len(offsets) == pytest.approx(20_000, rel=0.03)
    assert deviation == pytest.approx(mean, rel=0.05)
    assert 0 <= offsets[0] < offsets[-1] < 20


@pytest.mark.parametrize("clock", ["fixed", "poisson"])
def test_stages_change_the_rate_over_time(clock: Literal["fixed", "poisson"]) -> None:
    """A spike of five times the rate for a fifth of the time has as many arrivals as all the rest and more."""
    plan = Plan(rate=500, duration_s=10, stages=((2, 1.0), (1, 5.0), (2, 0.0)), arrivals=clock)
    offsets = list(arrivals(plan))
    in_stage = Counter(int(at // 2) for at in offsets)
    assert offsets == sorted(offsets)
    assert [in_stage[0], in_stage[1], in_stage[2]] == pytest.approx([1_000, 1_000, 5_000], rel=0.12)
    assert in_stage[3] == in_stage[4] == 0
    assert plan.rate_mean == pytest.approx(700)


def test_bodies_of_many_sizes_keep_the_rate() -> None:
    """The rate counts events, whatever the mix of bodies."""
    plan = replace(PLAN, bodies=((1, 0.9), (50, 0.1)), arrivals="fixed")
    made = list(requests(plan))
    sizes = Counter(len(request.ids) for request in made)
    assert set(sizes) == {1, 50}
    assert sizes[50] == pytest.approx(0.1 * len(made), rel=0.2)
    assert sum(len(request.ids) for request in made) == pytest.approx(4_000, rel=0.2)
    assert plan.events_per_body == pytest.approx(5.9)


@pytest.mark.parametrize("bytes_max", [0, 100_000, 1 << 30])
def test_requests_made_ahead_are_the_same_requests(made: list[Request], bytes_max: int) -> None:
    """They come in the same order, each once, however many the memory holds."""
    count, stream = ahead(requests(PLAN), bytes_max)
    assert count == {0: 1, 1 << 30: len(made)}.get(bytes_max, count)
    assert list(stream) == made
