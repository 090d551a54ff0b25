"""Heads that are known again: they say what the strict reader says, hold no secret and nothing that ends, and are forgotten."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from ingest.collect.exchange import Exchange, weight_of
from ingest.collect.sites import Sites
from ingest.fates import Reason
from ingest.http.heads import BYTES_MAX, HEAD_BYTES_MAX, Heads
from ingest.http.http1 import HEAD_END, Framed, HeadReader, Malformed
from tests.support.collecting import CHROME, Bench, Brought, Clock, Collected
from tests.unit.ingest.http.test_smuggling import REFUSED, STRICTLY_REFUSED

BODY = b'{"url":"https://example.com/"}'
PEERS = ("203.0.113.7", "203.0.113.8", "2001:db8::1", "")
TRUSTED = ("203.0.113.8/32",)
FIELDS = (
    b"User-Agent: " + CHROME,
    b"User-Agent: curl/8.5",
    b"Origin: https://example.com",
    b"Content-Type: text/plain",
    b"content-type: application/json",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Sec-GPC: 1",
    b"DNT: 1",
    b"X-Forwarded-For: 198.51.100.1",
    b"Transfer-Encoding: chunked",
    b"Content-Length: 4",
    b"content-length: 4",
    b"Content-Length: 04",
    b"CONTENT-LENGTH: 4",
    b"Content-Length:4",
    b"Content-Length: 4 ",
    b"X-Content-Length: 4",
    b"X: Content-Length: 4",
    b"Content-Length: ",
    b"Content-Length: 99999999999999999999",
    b"Expect: 100-continue",
    b"Host: y",
    b"Cookie: a=b",
    b"X-A: \xe4",
    b"X-B:",
    b" Content-Length: 4",
)


class Telling:
    """Heads beside the strict reader."""

    def __init__(self, bench: Bench) -> None:
        self.strict = HeadReader(bench.collector)
        self.heads = Heads(HeadReader(bench.collector), bench.collector.sender)
        self.collector = bench.collector

    def are_equal(self, raw: bytes, peer: str) -> bool:
        said, wanted = told(lambda: self.heads.read(raw, peer)), told(lambda: self.strict.read(raw))
        if isinstance(said, tuple) and isinstance(wanted, tuple):
            sender = said[0].asked.sender
            wanted_sender = self.collector.sender(peer, said[0].asked.head.fields)
            assert sender is None or msgspec.structs.astuple(sender) == msgspec.structs.astuple(wanted_sender)
            return bare(said) == bare(wanted)
        return said == wanted


def told(read: Any) -> tuple[Framed, int] | str | None:
    try:
        found: tuple[Framed, int] | None = read()
    except Malformed:
        return "malformed"
    return found


def bare(read: tuple[Framed, int]) -> object:
    """A head without what is not the strict reader's; the digits of its length are in its fields, and nobody reads them there."""
    framed, length = read
    head = framed.asked.head
    fields = {name: value for name, value in head.fields.items() if name != b"content-length"}
    headers = [pair for pair in head.headers if pair[0].lower() != b"content-length"]
    return head.method, head.target, head.path, head.query, headers, fields, framed.is_last, length


async def test_a_known_head_says_what_the_strict_reader_says() -> None:
    """Whatever was read before: heads of all kinds that differ in a field, a digit or a byte, from several peers."""
    bench = await Bench(trusted=TRUSTED).ready()
    telling = Telling(bench)
    rng = random.Random(3)
    raws = [head.partition(HEAD_END)[0] + HEAD_END for head in (*REFUSED.values(), *STRICTLY_REFUSED.values())]
    for _ in range(4_000):
        raws.append(made(rng))
        raws.append(spoilt(rng, rng.choice(raws)))
    seen = []
    for _ in range(15_000):
        raw = rng.choice(raws[: rng.choice((300, len(raws)))])
        assert telling.are_equal(raw, rng.choice(PEERS)), raw
        seen.append(raw)
    assert len(telling.heads._young) > 100
    assert any(isinstance(told(lambda raw=raw: telling.strict.read(raw)), tuple) for raw in seen)


def made(rng: random.Random) -> bytes:
    target = rng.choice((b"/f", b"/f", b"/f", b"/f?debug=1", b"/f.gif", b"/other"))
    lines = [rng.choice((b"POST", b"POST", b"POST", b"OPTIONS", b"GET")) + b" " + target + b" HTTP/1.1", b"Host: x"]
    lines += rng.sample(FIELDS, rng.randrange(5))
    if rng.random() < 0.7:
        length = b"%d" % rng.randrange(10 ** rng.randrange(1, 19))
        lines.insert(rng.randrange(1, len(lines) + 1), rng.choice((b"Content-Length: ", b"content-length: ")) + length)
    return b"\r\n".join(lines) + HEAD_END


def spoilt(rng: random.Random, raw: bytes) -> bytes:
    at = rng.randrange(len(raw) - len(HEAD_END))
    return raw[:at] + rng.choice((b"", b"1", b"\r\n", b" ", b":", b"\0", b"a")) + raw[at + rng.randrange(2) :]


def post(length: int, *more: bytes) -> bytes:
    return b"\r\n".join((b"POST /f HTTP/1.1", b"Host: x", b"Content-Length: %d" % length, *more)) + HEAD_END


async def test_a_head_with_credentials_is_read_anew_each_time() -> None:
    """Nothing of it stays, however the names are written."""
    bench = await Bench().ready()
    heads = Heads(HeadReader(bench.collector), bench.collector.sender)
    for name in (b"Authorization", b"authorization", b"Cookie", b"COOKIE", b"Proxy-Authorization"):
        assert heads.read(post(4, name + b": hush-hush"), "203.0.113.7") is not None
    assert not any(isinstance(one, bytes) and b"hush-hush" in one for one in reachable(heads._young, heads._old))
    heads.read(post(4, b"X-A: not so secret"), "203.0.113.7")
    assert any(isinstance(one, bytes) and b"not so secret" in one for one in reachable(heads._young))


def reachable(*roots: object) -> Iterator[object]:
    """All values in these, also those of structs that the garbage collector does not follow."""
    for one in roots:
        yield one
        if isinstance(one, dict):
            yield from reachable(*one.keys(), *one.values())
        elif isinstance(one, list | tuple | set | frozenset):
            yield from reachable(*one)
        elif isinstance(one, msgspec.Struct):
            yield from reachable(*msgspec.structs.astuple(one))


async def test_a_head_is_forgotten_ten_minutes_after_it_was_read() -> None:
    """Also one that is in use all the time."""
    bench = await Bench().ready()
    clock = Clock(0)
    heads = Heads(HeadReader(bench.collector), bench.collector.sender, now=clock)
    for second in range(3_000):
        clock.now_ms = second
        heads.tick()
        if second == 100:
            heads.read(post(4, b"X-A: once"), "203.0.113.7")
        heads.read(post(second, b"X-A: always"), "203.0.113.7")
        held = [one.asked.head for one in reachable(heads._young, heads._old) if isinstance(one, Framed)]
        assert len(held) <= 3
        if second > 700:
            assert not any(b"once" in value for head in held for _, value in head.headers)
        ages = [second - int(head.fields[b"content-length"]) for head in held if b"always" in head.headers[-1][1]]
        assert max(ages) <= 600


async def test_what_is_remembered_is_bounded_in_bytes() -> None:
    """A crowd whose heads all differ, small ones and large ones."""
    bench = await Bench().ready()
    for size in (10, 3_500):
        heads = Heads(HeadReader(bench.collector), bench.collector.sender)
        text = b"x" * size
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for number in range(2 * BYTES_MAX // (size + 2_000)):
                heads.read(post(4, b"X-A: %d" % number, b"X-B: " + text), f"203.0.113.{number % 255}")
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert BYTES_MAX / 4 < after - before < BYTES_MAX, size
    heads = Heads(HeadReader(bench.collector), bench.collector.sender)
    heads.read(post(4, b"X-A: " + b"x" * HEAD_BYTES_MAX), "203.0.113.7")
    assert not heads._young


class Registry:
    """A source of sites."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)

    async def sites(self) -> dict[str, bytes]:
        return dict.fromkeys(self.names, b"{}")


def collect(bench: Bench, heads: Heads) -> Collected:
    """Does what a connection does."""
    read = heads.read(post(len(BODY), b"User-Agent: " + CHROME), "203.0.113.7")
    assert read is not None
    framed, _ = read
    exchange = Exchange(Brought(), framed.asked, BODY, "203.0.113.7", bench.clock(), 0.0, len(BODY), weight_of(BODY))
    return bench.collect_all([exchange])[0]


async def test_a_site_that_was_removed_collects_no_more() -> None:
    """From the next request on, with a head that is known; and again when it is back."""
    registry = Registry("example.com")
    sites = Sites(named=[], privacy="count", source=registry)
    await sites.refresh()
    bench = await Bench(sites=sites).ready()
    heads = Heads(HeadReader(bench.collector), bench.collector.sender)
    assert [collect(bench, heads).status for _ in range(3)] == [202] * 3
    registry.names.clear()
    await sites.refresh()
    assert collect(bench, heads).status == 403
    assert bench.reasons == {Reason.UNKNOWN_SITE: 1}
    registry.names.append("example.com")
    await sites.refresh()
    assert collect(bench, heads).status == 202


async def test_what_is_remembered_holds_no_salt_and_no_visitor() -> None:
    """Over a midnight, with a head that is known, the visitor is another one; neither is in the heads (I8)."""
    bench = await Bench().ready()
    heads = Heads(HeadReader(bench.collector), bench.collector.sender)
    visitors = set()
    for _ in range(3):
        for _ in range(2):
            [(_, row)] = collect(bench, heads).rows
            visitors.add(row.visitor_id)
        found = list(reachable(heads._young, heads._old))
        assert not any(one in visitors for one in found if isinstance(one, int))
        assert not any(day.encode() in one for one in found if isinstance(one, bytes) for day in bench.salts.days)
        bench.clock.now_ms += 86_400_000
        await bench.salts.refresh()
    assert len(visitors) == 3
    assert len(heads._young) == 1


@pytest.mark.parametrize("name", REFUSED)
async def test_a_head_that_is_refused_is_refused_again(name: str) -> None:
    """Behind a good one that is known, and a second time."""
    bench = await Bench().ready()
    telling = Telling(bench)
    raw = REFUSED[name].partition(HEAD_END)[0] + HEAD_END
    for one in (post(30), raw, post(30), raw):
        assert telling.are_equal(one, "203.0.113.7")
