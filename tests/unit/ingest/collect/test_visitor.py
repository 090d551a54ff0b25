"""ingest/collect/visitor.py: salts by day, and the hash of a client."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.collect.visitor import (
    DAY_MS,
    HOUR_MS,
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
from tests.support.collecting import NOON, Clock, FixedSalts

MIDNIGHT = NOON + 12 * HOUR_MS  # 2027-01-01 00:00
MINUTE_MS = 60_000
CLIENT = client_of("example.com", traits_of("203.0.113.7", b"Firefox"))


async def ready(now_ms: int) -> tuple[Salts, Clock, FixedSalts]:
    clock, source = Clock(now_ms), FixedSalts()
    salts = Salts(source=source, now_ms=clock)
    await salts.refresh()
    return salts, clock, source


@pytest.mark.parametrize(
    ("now_ms", "days"),
    [
        (NOON, ["2026-12-31"]),
        (MIDNIGHT - HOUR_MS - 1, ["2026-12-31"]),
        (MIDNIGHT - HOUR_MS, ["2026-12-31", "2027-01-01"]),
        (MIDNIGHT - 1, ["2026-12-31", "2027-01-01"]),
        (MIDNIGHT, ["2026-12-31", "2027-01-01"]),
        (MIDNIGHT + HOUR_MS - 1, ["2026-12-31", "2027-01-01"]),
        (MIDNIGHT + HOUR_MS, ["2027-01-01"]),
    ],
)
async def test_the_salts_in_memory(now_ms: int, days: list[str]) -> None:
    """Today's; yesterday's while it is needed; tomorrow's from 23:00."""
    salts, _, _ = await ready(now_ms)
    assert salts.days == days


async def test_no_salt_is_held_longer_than_it_may() -> None:
    """Minute by minute over three days, each salt is in memory for 26 hours at most (I8: 48)."""
    salts, clock, _ = await ready(NOON)
    held: dict[str, int] = {}
    for minute in range(3 * 24 * 60):
        clock.now_ms = NOON + minute * MINUTE_MS
        await salts.refresh()
        assert salts.is_ready
        for day in salts.days:
            held[day] = held.get(day, 0) + 1
    assert max(held.values()) == 26 * 60


class Emptied:
    """A Redis that was made anew, where `others` were first for some days."""

    def __init__(self, **others: bytes) -> None:
        self.held = {day.strip("d").replace("_", "-"): salt for day, salt in others.items()}

    async def salts(self, days: Sequence[str], known: Mapping[str, bytes]) -> dict[str, bytes]:
        return {day: self.held.setdefault(day, known.get(day) or b"made anew") for day in days}


async def test_a_source_that_was_emptied_gets_the_salts_back() -> None:
    """Nobody's visitor changes, and a worker that starts now hashes like us."""
    salts, clock, _ = await ready(NOON)
    visitors = Visitors(salts=salts, shard_key=1)
    before = visitors.of(CLIENT, NOON)
    salts._source = emptied = Emptied()
    await salts.refresh()
    assert visitors.of(CLIENT, NOON) == before
    late = Salts(source=emptied, now_ms=clock)
    await late.refresh()
    assert Visitors(salts=late, shard_key=1).of(CLIENT, NOON) == before


async def test_all_hash_with_the_salt_that_the_source_has(caplog: pytest.LogCaptureFixture) -> None:
    """Somebody was first after it was emptied: one visitor must not be two for the rest of the day."""
    salts, clock, _ = await ready(NOON)
    visitors = Visitors(salts=salts, shard_key=1)
    before = visitors.of(CLIENT, NOON)
    salts._source = emptied = Emptied(d2026_12_31=b"theirs")
    await salts.refresh()
    late = Salts(source=emptied, now_ms=clock)
    await late.refresh()
    assert visitors.of(CLIENT, NOON) == Visitors(salts=late, shard_key=1).of(CLIENT, NOON) != before
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]
    assert "theirs" not in caplog.text


class Away:
    async def salts(self, days: Sequence[str], known: Mapping[str, bytes]) -> dict[str, bytes]:
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
        salts.at(clock.now_ms)


async def test_without_todays_salt_nobody_is_hashed() -> None:
    """Another day's would do in arithmetic, and break the promise."""
    salts, clock, _ = await ready(NOON)
    clock.now_ms = MIDNIGHT
    with pytest.raises(SaltMissing):
        Visitors(salts=salts, shard_key=1).of(CLIENT, MIDNIGHT)


async def test_a_visitor_is_one_for_a_day() -> None:
    """The same all day, another the next; nobody is 0."""
    salts, clock, _ = await ready(NOON)
    visitors = Visitors(salts=salts, shard_key=1)
    today, before = visitors.of(CLIENT, NOON)
    assert visitors.of(CLIENT, MIDNIGHT - 1) == (today, before)
    assert before == 0 < today < 1 << 64
    clock.now_ms = MIDNIGHT - 1
    await salts.refresh()
    assert visitors.of(CLIENT, MIDNIGHT)[0] != today


async def test_a_visit_over_midnight_is_still_known() -> None:
    """For 30 minutes a row carries both visitors, then one."""
    salts, _, _ = await ready(MIDNIGHT - 1)
    visitors = Visitors(salts=salts, shard_key=1)
    yesterday, _ = visitors.of(CLIENT, MIDNIGHT - 1)
    first, final, after = (visitors.of(CLIENT, MIDNIGHT + minute * MINUTE_MS) for minute in (0, 29, 30))
    assert first[1] == final[1] == yesterday
    assert after == (first[0], 0)


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
