"""Large requests: they are collected in pieces of bounded work, and are taken or refused whole all the same.

Work is counted in calls, of Python's functions and of C's, because wall time and CPU time depend on the machine.
"""

from __future__ import annotations

import asyncio
import gzip
import sys
from base64 import b64encode
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache, partial
from operator import contains
from types import FrameType
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from ingest.batch import Batch
from ingest.collect.events import Events
from ingest.collect.exchange import Exchange
from ingest.collect.limiter import Limiter
from ingest.collect.places import Places
from ingest.collect.sites import Sites
from ingest.commit.appender import Appender
from ingest.dialects.event import Limits, flatten
from ingest.fates import Reason, Shed
from schemas.limits import limit_of
from schemas.site import RegisteredSite
from tests.support.collecting import BROWSER, Bench, Brought, Collected
from tests.support.committing import Counted, ScriptedStream

KEYS = ("posthog:phc_1", "amplitude:KEY", "mixpanel:TOKEN")
CALLS_MAX = 15_000  # in one piece: about 3 ms
URL = "https://example.com/pricing"


class Registry:
    async def sites(self) -> dict[str, bytes]:
        return {"example.com": RegisteredSite(keys=KEYS).encode()}


async def bench_of(client_limit: str = "", **more: Any) -> Bench:
    limit = limit_of(client_limit) if client_limit else None
    sites = Sites(named=[], privacy="count", source=Registry(), client_limit=limit)
    bench = await Bench(sites=sites, **more).ready()
    await sites.refresh()
    return bench


def own(count: int) -> dict[str, str]:
    """Returns properties of an event's own, so that so many events are a large body."""
    return {f"property {at}": f"value {at} of {count}, which is long enough to count" for at in range(12)}


def posthog(count: int) -> bytes:
    one = {"event": "signup", "timestamp": "2026-12-31T11:59:00Z"}
    said = {"distinct_id": "u1", "token": "phc_1", "$current_url": URL, **own(count)}
    return msgspec.json.encode({"batch": [{**one, "uuid": str(at), "properties": said} for at in range(count)]})


def mixpanel(count: int) -> bytes:
    said = {"token": "TOKEN", "distinct_id": "u1", "$current_url": URL, **own(count)}
    return msgspec.json.encode(
        [{"event": "signup", "properties": {**said, "$insert_id": str(at)}} for at in range(count)]
    )


def amplitude(count: int) -> bytes:
    said = {"device_id": "d1", "event_type": "signup", "event_properties": own(count)}
    return msgspec.json.encode({"api_key": "KEY", "events": [{**said, "insert_id": str(at)} for at in range(count)]})


def form(text: bytes) -> bytes:
    return b"data=" + quote(b64encode(text), safe="").encode()


LARGE: dict[str, tuple[str, Callable[[], bytes]]] = {
    "posthog": ("/e/", lambda: posthog(2_500)),
    "posthog, gzip": ("/batch/", lambda: gzip.compress(posthog(2_500), 1)),
    "posthog, base64": ("/e/", lambda: form(posthog(2_500))),
    "posthog, of a wrong type": ("/e/", lambda: posthog(2_500).replace(b'"signup"', b"7")),
    "mixpanel": ("/track/", lambda: form(mixpanel(2_000))),
    "mixpanel, import": ("/import", lambda: gzip.compress(mixpanel(2_000), 1)),
    "mixpanel, lines": ("/import", lambda: mixpanel(2_000)[1:-1].replace(b',{"event"', b'\n{"event"')),
    "amplitude": ("/2/httpapi", lambda: amplitude(2_000)),
    "amplitude, form": (
        "/httpapi",
        lambda: b"api_key=KEY&event=" + quote(amplitude(700).partition(b'"events":')[2][:-1]).encode(),
    ),
}


@cache
def large_of(which: str) -> tuple[str, bytes]:
    """Returns a target and a body. They are made when they are wanted, because every worker of pytest loads this file."""
    target, make = LARGE[which]
    return target, make()


def arrived(bench: Bench, target: str, body: bytes, lane: Brought | None = None) -> Exchange:
    exchange = bench.exchange("POST", target.encode(), BROWSER, body, "203.0.113.7")
    assert isinstance(exchange, Exchange)
    if lane is not None:
        exchange.lane = lane
    return exchange


class Calls:
    """Counts calls."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, _frame: FrameType, event: str, _argument: object) -> None:
        self.count += event in {"call", "c_call"}

    @contextmanager
    def counted(self) -> Iterator[None]:
        before = sys.getprofile()
        sys.setprofile(self)
        try:
            yield
        finally:
            sys.setprofile(before)


def worked(bench: Bench, exchange: Exchange) -> tuple[list[int], Batch]:
    """Collects a request, and returns how many calls each piece took, and its rows."""
    found: list[int] = []
    calls = Calls()
    with calls.counted():
        batch = bench.collector.collect(deque((exchange,)))
    found.append(calls.count)
    for pieces in batch.large:
        last: Batch | None = None
        while last is None:
            calls = Calls()
            with calls.counted():
                last = next(pieces)
            found.append(calls.count)
        batch = last
    return found, batch


@pytest.mark.parametrize("which", LARGE)
async def test_no_piece_of_the_work_is_large(which: str) -> None:
    """The loop goes on between two of them. As a whole these are some hundred thousand calls."""
    bench = await bench_of()
    target, body = large_of(which)
    exchange = arrived(bench, target, body)
    found, batch = worked(bench, exchange)
    assert exchange.reply.status == 200
    assert len(batch.shards) == exchange.rows >= 700
    assert sum(found) > 3 * CALLS_MAX
    assert max(found) < CALLS_MAX


async def test_the_rows_are_those_of_small_requests() -> None:
    """Each event once, under its own id, in the order in which the client wrote them."""
    bench = await bench_of()
    target, body = large_of("posthog")
    [found] = bench.collect_all([arrived(bench, target, body)])
    assert [row.event_id for _, row in found.rows] == [str(at) for at in range(2_500)]
    small = bench.post(posthog(1), target=target.encode()).rows[0][1]
    large = [row._replace(event_id="", props={}) for _, row in found.rows]
    assert set(map(repr, large)) == {repr(small._replace(event_id="", props={}))}


async def test_events_at_fault_are_named_by_their_place_and_cost_no_neighbour() -> None:
    """In whichever piece they are."""
    bench = await bench_of()
    events = msgspec.json.decode(mixpanel(1_000))
    events[3] = 5
    events[777]["event"] = " "
    events[999]["event"] = "$mp_click"
    found = bench.post(events, target=b"/import")
    assert [one["index"] for one in msgspec.json.decode(found.body)["failed_records"]] == [3, 777]
    assert [int(row.event_id) for _, row in found.rows] == [at for at in range(999) if at not in {3, 777}]
    assert bench.reasons == {Reason.NOT_AN_EVENT: 1, Reason.INVALID_NAME: 1}
    assert bench.counts.unsupporteds == {("mixpanel", "$mp_click"): 1}


async def test_a_limit_takes_it_whole_or_not_at_all() -> None:
    """What is too much is owed afterwards, as by any other request, although there was enough for the first pieces alone."""
    now = [1_000.0]
    bench = await bench_of("10/s,burst=250", limiter=Limiter(now=lambda: now[0]))

    def sent() -> Collected:
        return bench.post(large_of("posthog")[1], target=b"/e/")

    assert len(sent().rows) == 2_500
    now[0] += 224  # it owes ten events
    refused = sent()
    assert (refused.status, refused.rows) == (503, [])
    assert bench.reasons == {Reason.RATE_LIMITED: 2_500}
    now[0] += 2
    assert len(sent().rows) == 2_500


async def test_a_fault_in_a_later_piece_refuses_all_of_it(caplog: pytest.LogCaptureFixture) -> None:
    """Its client sends all of it again, so nothing of it may be stored or counted as taken."""
    bench = await bench_of()
    judged = 0

    def breaks(events: Events, _: Places) -> None:
        nonlocal judged
        judged += len(events)
        if judged > 1_000:
            raise ZeroDivisionError

    bench.collector._steps = (*bench.collector._steps, breaks)
    found = bench.post(large_of("posthog")[1], target=b"/e/")
    assert (found.status, found.rows) == (503, [])
    assert bench.reasons == {Reason.SERVER_ERROR: 2_500}
    assert "ZeroDivisionError" in caplog.text


async def test_a_text_for_which_there_is_no_room_is_shed() -> None:
    """It is known how large it is once it is uncompressed, before it is decoded."""

    class Full(Brought):
        def hold(self, exchange: Exchange, size: int) -> bool:
            return False

    bench = await bench_of()
    exchange = arrived(bench, *large_of("posthog, gzip"), Full())
    found, batch = worked(bench, exchange)
    assert (exchange.reply.status, batch.finished, len(found)) == (503, [exchange], 1)
    assert bench.counts.sheds == {Shed.MEMORY: 1}


class Waits(Brought):
    """Notes the order of answers."""

    def __init__(self) -> None:
        self.answered: list[Exchange] = []

    def settled(self, exchange: Exchange, shed: Shed | None) -> None:
        assert shed is None
        self.answered.append(exchange)


@asynccontextmanager
async def appending(bench: Bench) -> AsyncIterator[tuple[Appender, ScriptedStream]]:
    """Runs an appender to a stream, with room for large requests and time for late ones."""
    stream = ScriptedStream()
    stream.open()
    appender = Appender(
        stream=stream, counts=Counted(), collect=bench.collector.collect, shards=3, commit_rows_max=2_000,
        commit_bytes_max=4 << 20, queue_bytes_max=64 << 20, answer_seconds_max=600,
    )  # fmt: skip
    running = asyncio.ensure_future(appender.run())
    await asyncio.sleep(0)
    yield appender, stream
    running.cancel()
    await asyncio.wait([running])
    await stream.end()


async def test_others_are_answered_before_it_although_they_came_later() -> None:
    """Also a second large one waits for no more than the first. Each is answered once, when all of its rows are durable."""
    bench = await bench_of(shards=3)
    lane = Waits()
    async with appending(bench) as (appender, stream):
        large = [arrived(bench, *large_of("posthog"), lane) for _ in range(2)]
        small = [arrived(bench, "/e/", posthog(1), lane) for _ in range(5)]
        for one in large:
            assert appender.submit(one) is None
        for one in small:
            await turns(lambda: bool(large[0].decoded or large[0].reading))
            assert appender.submit(one) is None
            await turns(partial(contains, lane.answered, one))
        assert appender.bytes_waiting > 0
        assert await appender.drain(600)
        assert lane.answered == [*small, *large]
        assert sum(one.rows for one in stream.stored) == 2 * 2_500 + 5
        assert appender.bytes_waiting == 0


async def test_one_that_is_too_late_when_it_is_collected_is_not_stored() -> None:
    """Its client hears that it was not taken, and sends it again. So it was the inbox's, and is that of what waits in pieces."""
    sheds: list[Shed | None] = []

    class Told(Brought):
        def settled(self, exchange: Exchange, shed: Shed | None) -> None:
            sheds.append(shed)

    bench = await bench_of(shards=3)
    lane = Told()
    async with appending(bench) as (appender, stream):
        large = arrived(bench, *large_of("posthog"), lane)
        assert appender.submit(large) is None
        await turns(lambda: bool(large.decoded or large.reading))
        large.due = 0.0
        assert await appender.drain(600)
        assert (sheds, stream.stored, appender.bytes_waiting) == ([Shed.REDIS], [], 0)


async def turns(is_so: Callable[[], bool]) -> None:
    """Lets the loop turn until it is so."""
    for _ in range(1_000):
        if is_so():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never was so")


async def test_one_that_waited_too_long_is_shed_with_all_of_its_events() -> None:
    """It is judged then, because its events have fates of their own."""
    bench = await bench_of()
    exchange = arrived(bench, *large_of("amplitude"))
    reply = bench.collector.shed(exchange, Shed.REDIS)
    assert reply.status == 503
    assert bench.counts.sheds == {Shed.REDIS: 2_000}


def test_of_very_many_properties_only_the_first_are_read() -> None:
    """The others are dropped and counted, as a row would drop them."""
    kept, dropped = flatten({"a": {str(at): at for at in range(200_000)}}, Limits())
    assert (len(kept), dropped) == (30, 199_970)
