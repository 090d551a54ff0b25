"""ingest/collect/visitor.py: salts by local day, and the hash of a client."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.collect.visitor import (
    EARLY_SECONDS,
    SaltMissing,
    Salts,
    Visitors,
    anonymous_client,
    client_of,
    hashed,
    keyed,
    owned_client,
    shard_of,
    traits_of,
)
from runtime import zones
from schemas.days import UTC_DAYS, Calendar
from schemas.redis.keys import salt_name
from tests.support.collecting import NOON, Clock, FixedSalts

MINUTE_MS, HALF_MS, HOUR_MS, DAY_MS = 60_000, 1_800_000, 3_600_000, 86_400_000
MIDNIGHT = NOON + 12 * HOUR_MS  # 2027-01-01 00:00
CLIENT = client_of("example.com", traits_of("203.0.113.7", b"Firefox"))


async def ready(now_ms: int) -> tuple[Salts, Clock, FixedSalts]:
    clock, source = Clock(now_ms), FixedSalts()
    salts = Salts(source=source, now_ms=clock)
    await salts.refresh()
    return salts, clock, source


def of(visitors: Visitors, moment_ms: int, calendar: Calendar = UTC_DAYS) -> tuple[int, int]:
    """Returns who the client is at a moment, and who it was the day before."""
    return visitors.of(CLIENT, visitors.salts.at(calendar, moment_ms))


@pytest.mark.parametrize(
    ("now_ms", "days"),
    [
        (NOON, ["2026-12-31"]),
        (MIDNIGHT - HOUR_MS - 1, ["2026-12-31"]),
        (MIDNIGHT - HOUR_MS, ["2026-12-31", "2027-01-01"]),
        (MIDNIGHT - 1, ["2026-12-31", "2027-01-01"]),
        (MIDNIGHT, ["2026-12-31", "2027-01-01"]),
        (MIDNIGHT + HALF_MS - EARLY_SECONDS * 1_000 - 1, ["2026-12-31", "2027-01-01"]),
        (MIDNIGHT + HALF_MS - EARLY_SECONDS * 1_000, ["2027-01-01"]),
    ],
)
async def test_the_salts_in_memory(now_ms: int, days: list[str]) -> None:
    """Today's; yesterday's while it is needed; tomorrow's from 23:00."""
    salts, _, _ = await ready(now_ms)
    assert salts.days == days


ABROAD = ("America/Los_Angeles", "Asia/Kathmandu", "Pacific/Auckland", "Africa/Cairo", "Antarctica/Troll", "UTC")


@pytest.mark.parametrize("day", ["2024-04-05", "2024-10-30", "2026-03-28"], ids=["25 h", "Cairo 25 h", "23 h"])
async def test_no_salt_is_held_longer_than_it_may(day: str) -> None:
    """From an hour before its local day to half an hour after it, by the tick alone, in any zone (I8)."""
    began = int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())
    calendars = [Calendar(zones.load(name)) for name in ABROAD]
    clock = Clock(began * 1_000)
    salts = Salts(source=FixedSalts(), now_ms=clock, calendars=calendars)
    needed: dict[str, tuple[int, int]] = {}
    for calendar in calendars:
        for hours in range(-30, 80):
            start, end = calendar.day(began + hours * 3_600)
            needed[salt_name(start)] = (start - 3_600, max(end + 1_800, needed.get(salt_name(start), (0, 0))[1]))
    every = set(range(began, began + 3 * 86_400, 300))
    near = {last + seconds for _, last in needed.values() for seconds in range(-4, 4)}  # when each has to be gone
    seen: dict[str, list[int]] = {}
    for second in sorted(every | {one for one in near if began <= one < began + 3 * 86_400}):
        clock.now_ms = second * 1_000
        salts.tick()
        if second in every:
            await salts.refresh()
            assert salts.is_ready
            assert all(salts.at(calendar, clock.now_ms) for calendar in calendars)
        for name in salts.days:
            seen.setdefault(name, []).append(second)
    assert len(seen) > 4 * len(ABROAD) - 6
    for name, seconds in seen.items():
        first, last = needed[name]
        assert first <= seconds[0] <= seconds[-1] < last, name
        assert seconds[0] <= max(first, began) + 300, name  # an hour ahead, with the next refresh


async def test_a_salt_of_two_zones_lasts_until_the_later_end() -> None:
    """London's day of 23 hours begins with UTC's, and ends before it."""
    day = int(datetime(2026, 3, 29, tzinfo=UTC).timestamp())
    source = Asked()
    londons = [Calendar(zones.load("Europe/London")) for _ in range(16)]
    for london in londons:  # whichever of the two a set gives first
        for calendars, hours in (([london], 23), ([london, UTC_DAYS], 24), ([UTC_DAYS], 24)):
            salts = Salts(source=source, now_ms=Clock(day * 1_000 + 1), calendars=calendars)
            await salts.refresh()
            assert source.until[day] == day + hours * 3_600 + 1_800


async def test_the_number_of_salts_is_bounded() -> None:
    """With a site in every zone of the world: about 36 starts of a day, and few that overlap."""
    calendars = [Calendar(zones.load(name)) for name in zones.names()]
    clock = Clock(NOON)
    salts = Salts(source=FixedSalts(), now_ms=clock, calendars=calendars)
    most = 0
    for quarter in range(96):
        clock.now_ms = NOON + quarter * 15 * MINUTE_MS
        await salts.refresh()
        most = max(most, len(salts.days))
    assert 36 <= most <= 50


class Asked(FixedSalts):
    """Notes what it was asked for last."""

    def __init__(self) -> None:
        self.until: dict[int, int] = {}

    async def salts(self, until: Mapping[int, int], known: Mapping[int, bytearray]) -> dict[int, bytearray]:
        self.until = dict(until)
        return await super().salts(until, known)


class Emptied:
    """A Redis that was made anew, where others were first for some days."""

    def __init__(self, others: Mapping[int, bytes] | None = None) -> None:
        self.held = dict(others or {})

    async def salts(self, until: Mapping[int, int], known: Mapping[int, bytearray]) -> dict[int, bytearray]:
        return {
            start: bytearray(self.held.setdefault(start, bytes(known.get(start) or b"made anew"))) for start in until
        }


async def test_a_source_that_was_emptied_gets_the_salts_back() -> None:
    """Nobody's visitor changes, and a worker that starts now hashes like us."""
    salts, clock, _ = await ready(NOON)
    visitors = Visitors(salts=salts, shard_key=1)
    before = of(visitors, NOON)
    salts._source = emptied = Emptied()
    await salts.refresh()
    assert of(visitors, NOON) == before
    late = Salts(source=emptied, now_ms=clock)
    await late.refresh()
    assert of(Visitors(salts=late, shard_key=1), NOON) == before


async def test_all_hash_with_the_salt_that_the_source_has(caplog: pytest.LogCaptureFixture) -> None:
    """Somebody was first after it was emptied: one visitor must not be two for the rest of the day."""
    salts, clock, _ = await ready(NOON)
    visitors = Visitors(salts=salts, shard_key=1)
    before = of(visitors, NOON)
    salts._source = emptied = Emptied({(MIDNIGHT - DAY_MS) // 1_000: b"theirs"})
    await salts.refresh()
    late = Salts(source=emptied, now_ms=clock)
    await late.refresh()
    assert of(visitors, NOON) == of(Visitors(salts=late, shard_key=1), NOON) != before
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]
    assert "theirs" not in caplog.text


class Slow(FixedSalts):
    """Answers two callers at once, and notes what it gave them."""

    def __init__(self) -> None:
        self.given: list[dict[int, bytearray]] = []

    async def salts(self, until: Mapping[int, int], known: Mapping[int, bytearray]) -> dict[int, bytearray]:
        mine = await super().salts(until, known)
        self.given.append(mine)
        while len(self.given) < 2:
            await asyncio.sleep(0)
        return mine


async def test_of_a_salt_that_is_received_twice_at_once_one_copy_is_left() -> None:
    """A site of another zone is added while the salts are looked at: what is not kept is zeros (I8)."""
    source = Slow()
    salts = Salts(source=source, now_ms=Clock(NOON))
    await asyncio.gather(salts.refresh(), salts.hold([UTC_DAYS]))
    kept = [id(salt) for salt in salts._by_start.values()]
    assert kept
    assert all(any(salt) is (id(salt) in kept) for given in source.given for salt in given.values())


async def test_a_salt_that_was_dropped_meanwhile_is_not_taken_for_one() -> None:
    """Another call had heard of its successor, and set it to zeros."""
    salts, _, _ = await ready(NOON)

    class Overtaken(FixedSalts):
        async def salts(self, until: Mapping[int, int], known: Mapping[int, bytearray]) -> dict[int, bytearray]:
            found = dict(known)
            salts._source = Emptied({(MIDNIGHT - DAY_MS) // 1_000: b"theirs"})
            await salts.refresh()
            return found

    salts._source = Overtaken()
    await salts.refresh()
    assert list(salts._by_start.values()) == [b"theirs"]


class Away:
    async def salts(self, until: Mapping[int, int], known: Mapping[int, bytearray]) -> dict[int, bytearray]:
        raise OSError("away")


async def test_an_old_salt_goes_even_when_the_source_is_away() -> None:
    """Forgetting needs nobody."""
    clock = Clock(NOON)
    salts = Salts(source=FixedSalts(), now_ms=clock)
    await salts.refresh()
    salts._source = Away()
    clock.now_ms = NOON + 2 * DAY_MS
    with pytest.raises(OSError, match="away"):
        await salts.refresh()
    assert salts.days == []
    assert not salts.is_ready
    with pytest.raises(SaltMissing):
        salts.at(UTC_DAYS, clock.now_ms)


async def test_without_todays_salt_nobody_is_hashed() -> None:
    """Another day's would do in arithmetic, and break the promise."""
    salts, clock, _ = await ready(NOON)
    clock.now_ms = MIDNIGHT
    with pytest.raises(SaltMissing):
        of(Visitors(salts=salts, shard_key=1), MIDNIGHT)


async def test_a_visitor_is_one_for_a_day() -> None:
    """The same all day, another the next; nobody is 0."""
    salts, clock, _ = await ready(NOON)
    visitors = Visitors(salts=salts, shard_key=1)
    today, before = of(visitors, NOON)
    assert of(visitors, MIDNIGHT - 1) == (today, before)
    assert before == 0 < today < 1 << 64
    clock.now_ms = MIDNIGHT - 1
    await salts.refresh()
    assert of(visitors, MIDNIGHT)[0] != today


async def test_a_visit_over_midnight_is_still_known() -> None:
    """For 30 minutes a row carries both visitors, then one."""
    salts, _, _ = await ready(MIDNIGHT - 1)
    visitors = Visitors(salts=salts, shard_key=1)
    yesterday, _ = of(visitors, MIDNIGHT - 1)
    first, final, after = (of(visitors, MIDNIGHT + minute * MINUTE_MS) for minute in (0, 29, 30))
    assert first[1] == final[1] == yesterday
    assert after == (first[0], 0)


@pytest.mark.parametrize("name", ABROAD)
async def test_a_visitor_is_one_for_a_local_day(name: str) -> None:
    """From one local midnight to the next, whatever UTC says, and linked to the day before for half an hour."""
    calendar = Calendar(zones.load(name))
    start, end = (second * 1_000 for second in calendar.day(NOON // 1_000))
    clock = Clock(start - 1)
    salts = Salts(source=FixedSalts(), now_ms=clock, calendars=[calendar])
    visitors = Visitors(salts=salts, shard_key=1)
    await salts.refresh()
    eve = of(visitors, start - 1, calendar)[0]
    assert of(visitors, start, calendar)[1] == of(visitors, start + HALF_MS - 1, calendar)[1] == eve
    clock.now_ms = end - 1
    await salts.refresh()
    day = {of(visitors, moment, calendar) for moment in range(start + HALF_MS, end, 5 * MINUTE_MS)}
    assert len(day) == 1
    [(today, before)] = day
    assert before == 0
    assert today != eve
    assert of(visitors, end, calendar)[1] == today


async def test_sites_whose_days_begin_together_share_a_salt() -> None:
    """It is one for each start of a local day, not one for each site or zone."""
    berlin, paris = (Calendar(zones.load(name)) for name in ("Europe/Berlin", "Europe/Paris"))
    salts = Salts(source=FixedSalts(), now_ms=Clock(NOON), calendars=[berlin, paris])
    await salts.refresh()
    assert salts.days == ["2026-12-30T23:00Z"]
    visitors = Visitors(salts=salts, shard_key=1)
    assert of(visitors, NOON, berlin) == of(visitors, NOON, paris)


async def test_a_change_of_zone_links_the_days_on_both_sides_of_it() -> None:
    """A visit may run on over the first midnight of the new zone, and a day that it cuts ends there."""
    tokyo_midnight = MIDNIGHT - 9 * HOUR_MS  # 15:00 UTC
    calendar = Calendar(zones.load("Asia/Tokyo"), [(UTC, tokyo_midnight // 1_000)])
    clock = Clock(tokyo_midnight - 1)
    salts = Salts(source=FixedSalts(), now_ms=clock, calendars=[calendar])
    await salts.refresh()
    assert salts.days == ["2026-12-31", "2026-12-31T15:00Z"]
    visitors = Visitors(salts=salts, shard_key=1)
    before = of(visitors, tokyo_midnight - 1, calendar)[0]
    after = of(visitors, tokyo_midnight, calendar)
    assert after[1] == before != after[0]
    clock.now_ms = tokyo_midnight + HALF_MS
    salts.tick()
    assert salts.days == ["2026-12-31T15:00Z"]


@pytest.mark.parametrize("days", [1, -1])
async def test_a_clock_that_jumps_never_makes_a_wrong_visitor(days: int) -> None:
    """Without the salt of the day that the clock says there is no visitor; when the clock is right again, the same one."""
    clock, held = Clock(NOON), Emptied()
    salts = Salts(source=held, now_ms=clock)
    await salts.refresh()
    visitors = Visitors(salts=salts, shard_key=1)
    right = of(visitors, NOON)
    clock.now_ms = NOON + days * DAY_MS
    salts.tick()
    assert salts.days == []
    assert not salts.is_ready
    for moment in (clock.now_ms, NOON):  # also an event that was received before the jump
        with pytest.raises(SaltMissing):
            of(visitors, moment)
    held.held[clock.now_ms // DAY_MS * 86_400] = b"another day's"
    await salts.refresh()
    assert of(visitors, clock.now_ms) != right
    clock.now_ms = NOON
    await salts.refresh()
    assert of(visitors, NOON) == right


async def test_one_zone_whose_salt_is_missing_stops_no_other() -> None:
    """As when Redis was full around one midnight."""
    tokyo = Calendar(zones.load("Asia/Tokyo"))
    salts = Salts(source=Without("2026-12-30T15:00Z"), now_ms=Clock(NOON), calendars=[UTC_DAYS, tokyo])
    await salts.refresh()
    assert salts.is_ready
    visitors = Visitors(salts=salts, shard_key=1)
    assert of(visitors, NOON)
    with pytest.raises(SaltMissing, match="2026-12-30T15:00Z"):
        of(visitors, NOON, tokyo)


class Without(FixedSalts):
    """Keeps no salt of one name."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def salts(self, until: Mapping[int, int], known: Mapping[int, bytearray]) -> dict[int, bytearray]:
        found = await super().salts(until, known)
        return {start: salt for start, salt in found.items() if salt_name(start) != self._name}


async def test_other_calendars_are_held_once_their_salts_are_there() -> None:
    """Those of before stay until then, and when the source is away."""
    tokyo = Calendar(zones.load("Asia/Tokyo"))
    salts, _, _ = await ready(NOON)
    await salts.hold([tokyo])
    assert salts.days == ["2026-12-30T15:00Z"]
    salts._source = Away()
    with pytest.raises(OSError, match="away"):
        await salts.hold([UTC_DAYS])
    assert salts.at(tokyo, NOON)
    with pytest.raises(SaltMissing):
        salts.at(UTC_DAYS, NOON)


async def test_an_owned_visitor_outlives_the_day() -> None:
    """An SDK's own number is the same tomorrow, and not the hash of any address."""
    salts, _, _ = await ready(NOON)
    one, other = Visitors(salts=salts, shard_key=1), Visitors(salts=salts, shard_key=2)
    client = owned_client("example.com", "v1")
    assert one.owned(client) == one.owned(client) != other.owned(client)


texts = st.text(alphabet="a.:\x01", max_size=4)


@given(texts, texts, st.binary(max_size=4), texts, texts, st.binary(max_size=4))
def test_different_clients_are_joined_to_different_bytes(
    site: str, address: str, agent: bytes, site_b: str, address_b: str, agent_b: bytes
) -> None:
    """No part can pose as the end of its neighbour."""
    same = (site, address, agent) == (site_b, address_b, agent_b)
    one = client_of(site, traits_of(address, agent))
    assert (one == client_of(site_b, traits_of(address_b, agent_b))) == same
    assert one != anonymous_client(site_b)
    assert address == "id" or one != owned_client(site_b, "v")


def test_the_hash_is_keyed() -> None:
    """Another salt, another hash; 64 bits of it."""
    assert hashed(CLIENT, keyed(b"a" * 32)) != hashed(CLIENT, keyed(b"b" * 32))
    assert 0 < hashed(CLIENT, keyed(b"a" * 32)) < 1 << 64


async def test_a_salt_is_never_shown() -> None:
    """A repr ends in logs."""
    salts, _, _ = await ready(NOON)
    assert repr(salts) == "<Salts of 2026-12-31>"


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=64), st.integers(0, 2**32 - 1), st.integers(1, 256))
def test_a_client_has_one_shard(client: bytes, key: int, shards: int) -> None:
    """The shard is in range and the same every time it is asked for."""
    assert 0 <= shard_of(client, key, shards) < shards
    assert shard_of(client, key, shards) == shard_of(bytes(bytearray(client)), key, shards)


def test_the_shard_of_a_client_is_the_same_in_every_release() -> None:
    """Pinned to CRC-32's published check value: another function would move clients and split visits."""
    assert shard_of(b"123456789", 0, 1 << 32) == 0xCBF43926
    assert shard_of(b"6789", zlib.crc32(b"12345"), 16) == 6


@pytest.mark.parametrize("shards", [2, 3, 4, 16])
def test_clients_spread_over_all_shards(shards: int) -> None:
    """Of 4 000 neighbouring clients no shard gets more than 1.25 times its share."""
    counts = [0] * shards
    for number in range(4_000):
        counts[shard_of(b"example.org\x00192.0.%d.%d" % divmod(number, 256), 12_345, shards)] += 1
    assert max(counts) < 1.25 * 4_000 / shards
