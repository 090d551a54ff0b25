"""schemas/: what one package writes, the other reads: entries, dead letters, sites and run.json."""

from __future__ import annotations

import msgspec
import pytest

from schemas.deadletter import DeadLetter
from schemas.host import NoSiteName, is_site_name, is_word, named_site
from schemas.names import ORIGIN, EntryId
from schemas.redis.records import BEGINNING, Edge, Entry
from schemas.runfile import RedisServer, Running
from schemas.site import RegisteredSite, SiteSettings

RUNNING = Running(
    url="http://127.0.0.1:8000",
    redis_url="unix:///data/redis.sock",
    sites=("a.example",),
    redis_server=RedisServer("/usr/bin/redis-server", "7.0.15"),
    pids={"redis": 5, "clickhouse": None, "ingest": [7, 8], "flusher": [None]},
)


@pytest.mark.parametrize("edge", [BEGINNING, Edge(EntryId(5, 10), 20, 300)])
def test_an_edge_is_read_as_it_was_written(edge: Edge) -> None:
    """What the list holds is `id rows bytes`, which the shared Lua takes apart too."""
    assert Edge.parse(edge.text().encode()) == edge


@pytest.mark.parametrize("text", [b"", b"here", b"5-1", b"5-1 2", b"5-1 2 3 4", b"5 2 3", b"5-1 two 3"])
def test_what_is_no_edge_is_refused(text: bytes) -> None:
    """A stranger's element of the list passes for no edge."""
    with pytest.raises(ValueError, match=r"\S"):
        Edge.parse(text)


def test_an_entry_of_a_stranger_says_what_is_wrong() -> None:
    """It has no rows, and its fault names what is missing; what can be shown of it is kept short."""
    entry = Entry.of(b"5-1", {b"hello": b"world", b"p": b"\xff" * 999, b"c": b"many"})
    assert (entry.id, entry.data, entry.rows, entry.commit) == (EntryId(5, 1), b"", 0, 0)
    assert "no field d" in entry.fault
    assert len(entry.producer) == 200
    assert Entry.of("5-2", {b"d": b"x", b"n": b"3", b"p": b"p", b"c": b"7"}) == Entry(EntryId(5, 2), b"x", 3, "p", 7)


def test_a_letter_of_a_stranger_has_empty_fields() -> None:
    """What is missing in a record is empty, and the letter says that it can't be read."""
    assert DeadLetter.of({}) == DeadLetter(b"", "unreadable", "", 0, "")
    fields = {b"row": b"\x90", b"reason": b"clickhouse_27", b"text": b"why", b"first_seen": b"5", b"block": b"b"}
    assert DeadLetter.of(fields) == DeadLetter(b"\x90", "clickhouse_27", "why", 5, "b")
    assert [name.encode() for name in DeadLetter._fields] == list(fields)


def test_a_site_is_read_as_it_was_registered() -> None:
    """Only what it wants is written, so a new setting needs no change of what is there."""
    site = RegisteredSite(domains=("a.example",), settings=SiteSettings(keep_query=True))
    assert site.encode() == b'{"domains":["a.example"],"keys":[],"settings":{"keep_query":true}}'
    assert RegisteredSite.decode(site.encode()) == site
    assert RegisteredSite.decode('{"domains": [], "keys": [], "settings": {}}') == RegisteredSite()


@pytest.mark.parametrize("text", ["", "[]", '{"settings": {"privacy": "none"}}', '{"domains": ["' + "x" * 254 + '"]}'])
def test_what_is_no_site_is_refused(text: str) -> None:
    """Whoever reads it hears ValueError, and keeps what was there before."""
    with pytest.raises(ValueError, match=r"\S"):
        RegisteredSite.decode(text)


@pytest.mark.parametrize(
    ("name", "is_site", "is_plain"),
    [
        ("a.example", True, True),
        ("b4f1e0c2-1c8e-4b53-9d2a-0d8a5c8c3f10", True, True),
        ("x" * 253, True, True),
        ("x" * 254, False, False),
        ("[::1]", True, False),
        ("[" + "1" * 252 + "]", False, False),
        ("a.example:8000", False, False),
        ("https://a.example/", False, False),
        ("-a.example", False, False),
        ("a example", False, False),
        ("", False, False),
    ],
)
def test_one_rule_says_what_a_site_may_be_called(name: str, is_site: bool, is_plain: bool) -> None:
    """The command that registers a site and the tier that looks for it ask the same function."""
    assert (is_site_name(name), is_word(name)) == (is_site, is_plain)


def test_a_name_that_somebody_wrote() -> None:
    """As sites are compared; the sign for every site where that may be said, and elsewhere it is no name."""
    assert named_site(" WWW.Shop.example. ") == "shop.example"
    assert named_site(" * ", every="*") == "*"
    for said in ("*", "no site", "https://a.example/"):
        with pytest.raises(NoSiteName, match="can't be the name of a site: use its domain"):
            named_site(said)


def test_run_json_is_read_as_it_was_written() -> None:
    """Processes that are down have no id, and what the writing version did not know is empty."""
    assert Running.decode(RUNNING.encode()) == RUNNING
    assert [RUNNING.pids_of(name) for name in ("redis", "clickhouse", "ingest", "flusher", "none")] == [
        [5], [], [7, 8], [], [],
    ]  # fmt: skip
    assert Running.decode(b'{"url": "http://127.0.0.1:1", "later": 1}') == Running(url="http://127.0.0.1:1")
    assert msgspec.json.decode(RUNNING.encode())["pids"]["flusher"] == [None]


def test_the_beginning_is_before_every_entry() -> None:
    """The first cut records it, and nothing of a stream lies before it."""
    assert BEGINNING.id == ORIGIN < EntryId(0, 1)
