"""Good requests of every dialect, damaged in every way that clients and networks damage them.

Whatever comes, the answer is one that the client understands and never a fault of ours, nothing is lost without being
counted, and no event becomes two.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
import pytest

from ingest.collect.paths import Paths, dialects_of
from ingest.collect.sites import Sites
from ingest.dialects.contract import Endpoint
from ingest.dialects.event import Limits
from ingest.dialects.table import table
from ingest.fates import Reason
from schemas.site import RegisteredSite
from tests.support.collecting import BROWSER, Bench, Collected
from tests.support.seeds import Fields, Seed, seeds

SEEDS = seeds()
LIMITS = Limits(body_bytes_max=64 << 10)
PLACES_MAX = 80  # of one seed that are damaged; further ones are passed over evenly
DEEP: Any = json.loads("[" * 60 + "]" * 60)
# In place of a value: what no client should send there. What JSON can't write is a piece of its text.
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 1e300, 10**30, 10**400, "1e999999", "", " ", "x" * 3_000, "a\0b", "http://[", "2026-13-45T99:99:99Z", [], [None], [[]],
    [{"a": 1}], {}, {"": {"": {"": {"": 1}}}}, {"toString": 1}, DEEP,
)  # fmt: skip
WRITTEN = (b'"\\ud83d"', b"1e999", b"-0", b'"\\u0000"', b"NaN", b'"\xff"')
MARK = "\u2603 here \u2603"


class Sent(NamedTuple):
    """Holds a damaged request."""

    what: str
    target: str
    headers: Fields
    body: bytes


class Registry:
    """Gives one site all keys that seeds name."""

    async def sites(self) -> dict[str, bytes]:
        keys = tuple(sorted({key for seed in SEEDS for key in seed.keys}))
        return {"example.com": RegisteredSite(keys=keys).encode()}


def body_of(seed: Seed) -> bytes:
    return seed.raw or (b"" if seed.body is None else msgspec.json.encode(seed.body))


def places(said: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yields the way to each value, the whole first."""
    yield path
    inner = said.items() if isinstance(said, dict) else enumerate(said) if isinstance(said, list) else ()
    for key, value in inner:
        yield from places(value, (*path, key))


def with_value(said: Any, path: tuple[Any, ...], value: Any, *, is_dropped: bool = False) -> Any:
    """Returns what is said with another value at one place, or without it."""
    if not path:
        return value
    changed = dict(said) if isinstance(said, dict) else list(said)
    if len(path) == 1 and is_dropped:
        del changed[path[0]]
    else:
        changed[path[0]] = with_value(said[path[0]], path[1:], value, is_dropped=is_dropped)
    return changed


def of_values(seed: Seed) -> Iterator[tuple[str, bytes]]:
    """Yields bodies with one value left out, replaced, or there twice."""
    found = list(places(seed.body))
    for path in found[:: max(1, len(found) // PLACES_MAX)]:
        where = ".".join(map(str, path)) or "the whole"
        if path:
            yield f"{where} left out", msgspec.json.encode(with_value(seed.body, path, None, is_dropped=True))
        for value in VALUES:
            yield f"{where} is {str(value)[:20]!r}", msgspec.json.encode(with_value(seed.body, path, value))
        marked = msgspec.json.encode(with_value(seed.body, path, MARK))
        for text in WRITTEN:
            yield f"{where} is {text!r}", marked.replace(msgspec.json.encode(MARK), text)


@cache
def too_much() -> bytes:
    """Returns what becomes more than a body may be: it is the same for each seed, and takes as long as a hundred requests."""
    return gzip.compress(b" " * (9 << 20))


def of_bodies(body: bytes) -> Iterator[tuple[str, Fields, bytes]]:
    """Yields bodies that are damaged as a whole, or not what their head says."""
    coded = base64.b64encode(body)
    form = ((b"content-type", b"application/x-www-form-urlencoded"),)
    yield "empty", (), b""
    yield "blank", (), b" \r\n"
    for share in (1, 3, 7):
        yield f"cut at {share}/8", (), body[: len(body) * share // 8]
    yield "its last byte lost", (), body[:-1]
    yield "twice", (), body * 2
    yield "with a byte-order mark", (), b"\xef\xbb\xbf" + body
    yield "as UTF-16", (), body.decode("utf-8", "replace").encode("utf-16")
    yield "in an array", (), b"[" + body + b"]"
    yield "encoded twice", (), msgspec.json.encode(body.decode("utf-8", "replace"))
    yield "too deep", (), b"[" * 5_000 + b"]" * 5_000
    yield "many", (), b"[" + b",".join([b"{}"] * 600) + b"]"
    yield "too large", (), b'{"a": "' + b"x" * (70 << 10) + b'"}'
    yield "noise", (), bytes(range(256)) * 4
    yield "gzip without a header", (), gzip.compress(body)
    yield "gzip", ((b"content-encoding", b"gzip"),), gzip.compress(body)
    yield "gzip that is cut", ((b"content-encoding", b"gzip"),), gzip.compress(body)[:-9]
    yield "gzip without a header, cut", (), gzip.compress(body)[:-9]
    yield "gzip of too much", ((b"content-encoding", b"gzip"),), too_much()
    yield "gzip of too much without a header", (), too_much()
    yield "announced as gzip", ((b"content-encoding", b"gzip"),), body
    yield "announced as deflate", ((b"content-encoding", b"deflate"),), gzip.compress(body)
    yield "deflate", ((b"content-encoding", b"deflate"),), zlib.compress(body)
    yield "announced as br", ((b"content-encoding", b"br"),), body
    yield "announced as two", ((b"content-encoding", b"gzip, gzip"),), gzip.compress(body)
    for name, text in (
        ("base64", coded),
        ("base64 whose + is lost", coded.replace(b"+", b" ")),
        ("base64, cut", coded[:-3]),
    ):
        yield name, form, text
        yield f"data={name}", form, b"data=" + text
    yield "data=JSON", form, b"data=" + quote(body).encode()
    yield "a form of nothing", form, b"data=&x=%zz&="
    for media in (
        b"application/x-www-form-urlencoded",
        b"multipart/form-data",
        b"text/plain",
        b"application/json",
        b"",
        b"\xff",
    ):
        yield f"as {media!r}", ((b"content-type", media),), body


def of_targets(seed: Seed) -> Iterator[tuple[str, str]]:
    """Yields targets whose query is damaged."""
    path, _, query = seed.target.partition("?")
    for what, more in {
        "no query": "",
        "odd escapes": "?%zz=%&%ff%fe=%00&=&&",
        "much": "?" + "x=" + "y" * 5_000,
        "many": "?" + "&".join(["a=b"] * 300),
        "data": "?data=%7B&ip=1&_=x&verbose=1&compression=gzip-js",
    }.items():
        yield f"a query of {what}", path + more
    pairs = query.split("&") if query else []
    for at, pair in enumerate(pairs):
        name = pair.partition("=")[0]
        for value in (None, "", "x" * 3_000, "%00", "%ff", "%7B", "[]", "-1", "9" * 30):
            others = [*pairs[:at], *([] if value is None else [f"{name}={value}"]), *pairs[at + 1 :]]
            yield f"{name} is {str(value)[:20]}", f"{path}?{'&'.join(others)}"


def damaged(seed: Seed) -> Iterator[Sent]:
    """Yields the damaged requests of a seed."""
    body = body_of(seed)
    if seed.body is not None:
        for what, text in of_values(seed):
            yield Sent(what, seed.target, (), text)
    if body:
        for what, headers, text in of_bodies(body):
            yield Sent(what, seed.target, headers, text)
    for what, target in of_targets(seed):
        yield Sent(what, target, (), body)
    for name, _ in seed.headers:
        for value in (b"", b"\xff\xfe", b"x" * 5_000, b"Basic !", b"Basic Zm9v", b"Bearer", b"Bearer fbk_x"):
            yield Sent(f"{name!r} is {value[:20]!r}", seed.target, ((name, value),), body)


async def ready() -> Bench:
    sites = Sites(named=[], privacy="count", source=Registry())
    bench = await Bench(sites=sites, limits=LIMITS).ready()
    await sites.refresh()
    return bench


def send(bench: Bench, seed: Seed, sent: Sent) -> Collected:
    fields = {name.lower(): (name, value) for name, value in (*BROWSER, *seed.headers, *sent.headers)}
    return bench.collect(seed.method, sent.target.encode(), list(fields.values()), sent.body, "203.0.113.7")


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"{seed.dialect} {seed.method} {seed.target[:40]}")
async def test_a_good_request_is_taken(seed: Seed) -> None:
    """So what the damaged ones are made of is good."""
    bench = await ready()
    found = send(bench, seed, Sent("good", seed.target, (), body_of(seed)))
    assert (found.status, len(found.rows), dict(bench.reasons)) == (seed.status, seed.rows, {}), found.body
    assert {row.dialect for _, row in found.rows} <= {seed.dialect}


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"{seed.dialect} {seed.method} {seed.target[:40]}")
async def test_damage_has_its_answer_and_its_count(seed: Seed) -> None:
    """No answer is a 5xx, none is unknown to the client, nothing is refused or left out uncounted, and no event is there twice."""
    bench = await ready()
    for sent in damaged(seed):
        bench.counts.rejections.clear()
        bench.counts.unsupporteds.clear()
        found = send(bench, seed, sent)
        assert found.status in {seed.status, 200, 202, 204, *seed.refusals}, (sent.what, found)
        assert Reason.SERVER_ERROR not in bench.reasons, sent.what
        rejected, ignored = sum(bench.counts.rejections.values()), sum(bench.counts.unsupporteds.values())
        if found.status >= 400:
            assert not found.rows, sent.what
            assert rejected, sent.what
        elif not found.rows:
            assert rejected or ignored or is_hollow(sent), (sent.what, found)
        ids = [row.event_id for _, row in found.rows if row.event_id]
        assert len(ids) == len(set(ids)) or sent.what == "twice", sent.what
        check_body(seed, sent, found)


def is_hollow(sent: Sent) -> bool:
    """Tells whether a request that is a success has nothing in it: some clients send an empty batch to see who is there."""
    return sent.body.strip() in {b"", b"[]", b"{}"} or b'":[]' in sent.body or b'":{}' in sent.body


def check_body(seed: Seed, sent: Sent, found: Collected) -> None:
    """Checks that what is said to be JSON is JSON."""
    kinds = [value for name, value in found.headers if name == b"content-type"]
    assert len(kinds) <= 1, sent.what
    if kinds and kinds[0].startswith(b"application/json") and found.body:
        json.loads(found.body)


def test_every_dialect_has_seeds() -> None:
    """A family that is added to the table brings good requests of its own for this suite."""
    there = {seed.dialect for seed in SEEDS}
    dialects = {one for row in table(LIMITS) for one in dialects_of(row.dialect)}
    assert {one.name for one in dialects if not isinstance(one, Endpoint)} == there
    paths = Paths(table(LIMITS))
    for seed in SEEDS:
        route = paths.of(seed.target.partition("?")[0].encode())
        assert route is not None, seed.target
        assert seed.method in route.dialects, seed.target
