"""Places that are remembered: only those of known heads, never longer than what they were found by, and bounded."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

import msgspec
import pytest

from ingest.collect import places as places_module
from ingest.collect import visitor as visitor_module
from ingest.collect.places import FORGET_SECONDS, Place
from ingest.collect.visitor import keyed
from ingest.fates import Reason
from tests.support.collecting import URL, Collected
from tests.support.remembering import KEPT_MS, MIDNIGHT, Known, ends_with


async def test_a_known_head_is_hashed_once() -> None:
    """Each of its sites once; and what is remembered is what is found without a memory."""
    known = await Known().ready()
    first = known.row()
    assert [known.hashes() for _ in range(3)] == [0, 0, 0]
    assert known.hashes(site="other.example") == 1
    assert known.row() == first == known.row(known.head(is_known=False))


async def test_two_heads_with_equal_values_are_two() -> None:
    """A sender is told apart by what it is: to compare two by their values would cost more than to hash."""
    known = await Known().ready()
    other = known.head()
    assert other.sender is not None
    assert known.asked.sender is not None
    assert msgspec.structs.astuple(other.sender) == msgspec.structs.astuple(known.asked.sender)
    assert [known.hashes(), known.hashes(other)] == [1, 1]
    assert len(known.held) == 2
    assert known.row() == known.row(other)


@pytest.mark.parametrize("case", ["not known", "unknown site", "dropped"])
async def test_nothing_else_is_remembered(case: str) -> None:
    """A head that does not come again, and a refusal, leave nothing."""
    known = await Known().ready()
    known.source.registered["drops.example"] = b'{"settings":{"privacy":"drop"}}'
    await known.sites.refresh()
    sent: dict[str, Callable[[], Collected]] = {
        "not known": lambda: known.send(known.head(is_known=False)),
        "unknown site": lambda: known.send(site="unknown.example"),
        "dropped": lambda: known.send(known.head((b"Sec-GPC", b"1")), site="drops.example"),
    }
    assert [bool(sent[case]().rows) for _ in range(2)] == [case == "not known"] * 2
    assert known.held == []


async def test_an_owned_visitor_is_never_remembered() -> None:
    """Nor taken for its head's, or the head's for it, whichever comes first."""
    known = await Known().ready()
    said = [known.place("example.com", owned) for owned in ("v1", None, "v1", "v2", None)]
    visitors = [one.visitor_id for one in said if isinstance(one, Place)]
    assert len(visitors) == 5
    assert visitors[0] == visitors[2]
    assert visitors[1] == visitors[4]
    assert len(set(visitors)) == 3
    assert len(known.held) == 1
    known.places.forget()
    known.place("example.com", "v1")
    known.place("unknown.example", "v1")
    assert known.held == []


async def test_a_refusal_is_judged_anew() -> None:
    """A site that is added later takes the next event."""
    known = await Known().ready()
    assert known.send(site="new.example").status == 403
    known.source.registered["new.example"] = b"{}"
    await known.sites.refresh()
    assert known.send(site="new.example").status == 202


async def test_another_salt_for_the_same_day_is_another_visitor_at_once() -> None:
    """Redis was emptied, and another process was faster: all workers must say the same visitor."""
    known = await Known().ready()
    before = known.row()
    [day] = known.source.by_day
    known.source.by_day[day] = b"another salt of this day"
    await known.salts.refresh()
    assert known.held == []
    after = known.row()
    assert after.visitor_id != before.visitor_id
    assert after.visitor_id == known.row(known.head(is_known=False)).visitor_id


async def test_the_same_again_changes_nothing() -> None:
    """A refresh every two seconds must not cost the memory."""
    known = await Known().ready()
    known.row()
    for _ in range(3):
        await known.salts.refresh()
        await known.sites.refresh()
    assert known.hashes() == 0


CHANGES: dict[str, tuple[bytes | None, bool]] = {
    "removed": (None, False),
    "drops what is signalled": (b'{"settings":{"privacy":"drop"}}', False),
    "other domains": (b'{"domains":["www2.example.com"]}', True),
    "other settings": (b'{"settings":{"keep_query":true}}', True),
}


@pytest.mark.parametrize(("said", "is_taken"), CHANGES.values(), ids=CHANGES.keys())
async def test_what_a_site_wants_counts_from_the_next_event_on(said: bytes | None, is_taken: bool) -> None:
    """Whatever changed, and for every site at once: another may have taken its domain."""
    known = await Known().ready()
    signalled = known.head((b"Sec-GPC", b"1"))
    query = URL + "?a=1"
    assert known.send(signalled, url=query).status == 202
    known.send(signalled, site="other.example")
    assert len(known.held) == 2
    if said is None:
        del known.source.registered["example.com"]
    else:
        known.source.registered["example.com"] = said
    await known.sites.refresh()
    assert known.held == []
    sent = known.send(signalled, url=query)
    assert bool(sent.rows) == is_taken
    if said is not None and b"keep_query" in said:
        [(_, row)] = sent.rows
        assert row.url == query


async def test_a_domain_that_goes_to_another_site_goes_there_with_the_next_event() -> None:
    """A place is remembered under the name that an event gave, which stands for another site now."""
    known = await Known().ready()
    known.source.registered = {"example.com": b'{"domains":["shop.example"]}', "other.example": b"{}"}
    await known.sites.refresh()
    assert known.row(url="https://shop.example/").site == "example.com"
    known.source.registered = {"example.com": b"{}", "other.example": b'{"domains":["shop.example"]}'}
    await known.sites.refresh()
    assert known.row(url="https://shop.example/").site == "other.example"


async def test_what_is_remembered_is_forgotten_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what is in use: a remembered place keeps the address of its sender."""
    seconds = [0.0]
    monkeypatch.setattr(places_module, "monotonic", lambda: seconds[0])
    known = await Known().ready()
    known.row()
    for second in range(3 * FORGET_SECONDS):
        seconds[0] = float(second)
        known.places.tick()
        assert bool(known.held) == (second == 0 or second % FORGET_SECONDS != 0), second
        known.row()


async def test_a_place_is_forgotten_although_others_are_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event does not put the moment off."""
    seconds = [0.0]
    monkeypatch.setattr(places_module, "monotonic", lambda: seconds[0])
    known = await Known().ready()
    known.row()
    seconds[0] = FORGET_SECONDS - 1
    known.row(known.head())
    known.places.tick()
    assert len(known.held) == 2
    seconds[0] = FORGET_SECONDS
    known.places.tick()
    assert known.held == []


async def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is full all is forgotten, and the next is remembered again."""
    monkeypatch.setattr(places_module, "PLACES_MAX", 5)
    known = await Known().ready()
    heads = [known.head(peer=f"203.0.113.{number}") for number in range(12)]
    held = []
    for head in heads:
        known.row(head)
        held.append(len(known.held))
    assert held == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2]
    assert known.hashes(heads[-1]) == 0


@pytest.mark.parametrize("end", ["over", "over while Redis is away", "replaced"])
async def test_nothing_of_a_salt_that_ended_can_be_reached(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither it, nor what it keyed, nor a visitor under it, from anything that the collector holds (I8)."""
    keys: list[object] = []

    def noted(salt: bytes) -> blake2b:
        made = keyed(salt)
        keys.append(made)
        return made

    monkeypatch.setattr(visitor_module, "keyed", noted)
    known = await Known(MIDNIGHT - 1).ready()
    keys.clear()  # that of visitors whom an SDK numbers does not end
    rows = [known.row(), known.row(site="other.example"), known.row(known.head((b"Sec-GPC", b"1")))]
    visitors = {row.visitor_id for row in rows}
    salts = [known.source.by_day[min(known.source.by_day)]]
    assert set(ends_with(known, salts, keys, visitors)) == {"salt", "keyed hash", "visitor"}
    if end == "replaced":
        known.source.by_day[min(known.source.by_day)] = b"another salt of this day"
        await known.salts.refresh()
        assert ends_with(known, salts, keys, visitors) == []
        return
    known.bench.clock.now_ms = MIDNIGHT  # the last one's visitors are hashed once more, as those of before
    rows += [known.row(), known.row(site="other.example")]
    known.bench.clock.now_ms = MIDNIGHT + KEPT_MS
    known.source.by_day.clear()  # the source that stands for Redis is no part of the collector
    known.source.is_away = end == "over while Redis is away"
    try:
        await known.salts.refresh()
    except ConnectionError:
        assert known.source.is_away
    assert ends_with(known, salts, keys, visitors) == []


async def test_a_place_says_what_is_found_without_a_memory() -> None:
    """All of it, for every kind of site and client."""
    known = await Known(MIDNIGHT + 1).ready()
    known.source.registered["anonymous.example"] = b'{"settings":{"privacy":"anonymise"}}'
    await known.sites.refresh()
    for more in ((), ((b"Sec-GPC", b"1"),)):
        for name in ("example.com", "other.example", "anonymous.example"):
            remembered, fresh = known.head(*more), known.head(*more, is_known=False)
            said = [known.place(name, asked=asked) for asked in (remembered, remembered, fresh)]
            assert isinstance(said[0], Place)
            assert said[0].is_anonymous == (bool(more) and name == "anonymous.example")
            assert said[0] == said[1] == said[2]
    assert known.place("unknown.example") is Reason.UNKNOWN_SITE
