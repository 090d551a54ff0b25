"""Places that are remembered over midnights: each is right for its site's own local day, and no longer there than its salt."""

from __future__ import annotations

import msgspec
import pytest

from ingest.collect.exchange import Exchange, weight_of
from ingest.fates import Shed
from runtime import zones
from schemas.days import day_of
from schemas.site import RegisteredSite
from tests.support.collecting import NOON, URL, Brought
from tests.support.remembering import BEFORE_MS, HOUR_MS, MIDNIGHT, PEER, Known, ends_with


async def test_midnight_and_the_half_hour_after_it_change_the_visitor() -> None:
    """Without a refresh: the clock of the requests alone says under which salts they are hashed."""
    known = await Known(MIDNIGHT - 1).ready()  # tomorrow's salt is there since 23:00
    evening = known.row()
    known.bench.clock.now_ms = MIDNIGHT
    first = known.row()
    known.bench.clock.now_ms = MIDNIGHT + BEFORE_MS - 1
    last = known.row()
    known.bench.clock.now_ms = MIDNIGHT + BEFORE_MS
    later = known.row()
    assert first.visitor_id != evening.visitor_id
    assert (evening.visitor_before, first.visitor_before) == (0, evening.visitor_id)
    assert (last.visitor_id, last.visitor_before) == (first.visitor_id, evening.visitor_id)
    assert (later.visitor_id, later.visitor_before) == (first.visitor_id, 0)


async def test_requests_of_both_sides_of_midnight_in_one_commit_keep_their_days() -> None:
    """Those that waited raw over midnight are hashed by the moment at which they were received."""
    known = await Known(MIDNIGHT - 1).ready()
    evening = known.row().visitor_id
    exchanges = []
    for moment in (MIDNIGHT - 1, MIDNIGHT, MIDNIGHT - 1, MIDNIGHT + BEFORE_MS, MIDNIGHT):
        body = msgspec.json.encode({"url": URL})
        exchanges.append(Exchange(Brought(), known.asked, body, PEER, moment, 0.0, len(body), weight_of(body)))
    rows = [row for collected in known.bench.collect_all(exchanges) for _, row in collected.rows]
    morning = rows[1].visitor_id
    assert [row.visitor_id for row in rows] == [evening, morning, evening, morning, morning]
    assert [row.visitor_before for row in rows] == [0, evening, 0, 0, evening]


async def test_what_happened_before_midnight_has_the_visitor_of_its_own_day() -> None:
    """An event that waited over midnight, for the half hour in which that visitor is known; with it goes the new day's."""
    known = await Known(MIDNIGHT - 1).ready()
    evening = known.bench.row({"url": URL})
    known.bench.clock.now_ms = MIDNIGHT + BEFORE_MS - 1
    morning = known.bench.row({"url": URL})
    body = [{"url": URL, "ts": ts} for ts in (MIDNIGHT - 1, MIDNIGHT, "soon", MIDNIGHT - HOUR_MS)]
    rows = [row for _, row in known.bench.post(body).rows]
    known.bench.clock.now_ms = MIDNIGHT + BEFORE_MS
    late = known.bench.row({"url": URL, "ts": MIDNIGHT - 1})
    assert [(row.visitor_id, row.visitor_before) for row in rows] == [
        (evening.visitor_id, morning.visitor_id),
        (morning.visitor_id, evening.visitor_id),
        (evening.visitor_id, morning.visitor_id),
    ]
    assert (late.visitor_id, late.visitor_before) == (morning.visitor_id, 0)


EAST, WEST = "kathmandu.example", "angeles.example"
ZONES = {EAST: "Asia/Kathmandu", WEST: "America/Los_Angeles"}


async def in_zones(now_ms: int) -> Known:
    """Returns a collector that knows two sites with other days than those of example.com, which are UTC's."""
    known = Known(now_ms)
    for name, zone in ZONES.items():
        known.source.registered[name] = b'{"settings":{"timezone":"%s"}}' % zone.encode()
    return await known.ready()


@pytest.mark.parametrize("name", [EAST, WEST])
async def test_a_place_is_right_at_both_sides_of_its_sites_own_midnight(name: str) -> None:
    """In any order, and while the places of other sites, whose days go on, are remembered."""
    midnight = day_of(NOON // 1_000, zones.load(ZONES[name])).end * 1_000
    known = await in_zones(midnight - HOUR_MS)
    fresh = known.head(is_known=False)
    seen: dict[int, set[tuple[int, int]]] = {}
    elsewhere = set()
    for moment in (-HOUR_MS, -1, 0, BEFORE_MS - 2_001, 0, -1, 1, BEFORE_MS, 0, 2 * HOUR_MS):
        known.bench.clock.now_ms = midnight + moment
        row = known.row(site=name)
        assert row == known.row(fresh, site=name), moment
        seen.setdefault(moment // BEFORE_MS, set()).add((row.visitor_id, row.visitor_before))
        elsewhere.add(known.row().visitor_id)
    [(evening, _)], [(morning, linked)], [(later, unlinked)] = seen[-1], seen[0], seen[1]
    assert evening == linked != morning
    assert (later, unlinked) == (morning, 0)
    assert seen[-2] == {(evening, 0)}
    assert len(elsewhere) == 1


async def test_a_midnight_elsewhere_costs_no_place() -> None:
    """Only a salt that ends, or is another one, makes all of them be forgotten."""
    midnight = day_of(NOON // 1_000, zones.load(ZONES[EAST])).end * 1_000
    known = await in_zones(midnight - 1)
    assert [known.hashes(), known.hashes(site=EAST)] == [1, 1]
    known.bench.clock.now_ms = midnight
    assert [known.hashes(), known.hashes(site=EAST)] == [0, 1]


async def test_a_tick_alone_forgets_the_visitors_of_a_day_that_is_over() -> None:
    """Whatever Redis does: before the half hour after a local midnight is over (I8)."""
    midnight = day_of(NOON // 1_000, zones.load(ZONES[EAST])).end * 1_000
    known = await in_zones(midnight - 1)
    evening = known.row(site=EAST).visitor_id
    assert ends_with(known, [], [], {evening})
    known.source.is_away = True
    known.bench.clock.now_ms = midnight + BEFORE_MS - 1_000
    known.places.tick()
    assert ends_with(known, [], [], {evening}) == []


async def test_a_new_zone_of_a_site_changes_no_visitor_before_its_midnight() -> None:
    """The places of the site are forgotten, and found again as they were."""
    known = await Known(NOON).ready()
    before = known.row()
    changed = RegisteredSite.decode(known.source.registered["example.com"]).in_zone(
        "Asia/Tokyo", zones.load("Asia/Tokyo"), NOON // 1_000, is_new=False
    )
    known.source.registered["example.com"] = changed.encode()
    await known.sites.refresh()
    assert known.row() == before
    midnight = NOON + 3 * HOUR_MS
    known.bench.clock.now_ms = midnight - 1
    await known.salts.refresh()
    assert known.row().visitor_id == before.visitor_id
    known.bench.clock.now_ms = midnight
    after = known.row()
    assert after.visitor_before == before.visitor_id != after.visitor_id
    known.bench.clock.now_ms = MIDNIGHT
    await known.salts.refresh()
    assert known.row().visitor_id == after.visitor_id


async def test_a_salt_that_is_missing_sheds_the_events_of_its_zone_alone() -> None:
    """As when Redis is away over one midnight: requests of other sites in the same commit are taken."""
    midnight = day_of(NOON // 1_000, zones.load(ZONES[EAST])).end * 1_000
    known = await in_zones(midnight - 2 * HOUR_MS)
    known.source.is_away = True
    known.bench.clock.now_ms = midnight
    exchanges = []
    for name in ("example.com", EAST, WEST, EAST):
        body = msgspec.json.encode({"url": URL, "site": name})
        exchanges.append(Exchange(Brought(), known.asked, body, PEER, midnight, 0.0, len(body), weight_of(body)))
    assert [collected.status for collected in known.bench.collect_all(exchanges)] == [202, 503, 202, 503]
    assert known.bench.counts.sheds == {Shed.REDIS: 2}
    assert known.salts.is_ready
