"""ingest/collect/keys.py, named_senders.py: what a server key allows, and for how long."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from typing import Any

import pytest

from ingest.collect.keys import ServerKeys
from ingest.collect.sites import Sites
from ingest.dialects.contract import Decoded
from ingest.dialects.event import Event, Limits
from ingest.dialects.native import Native
from ingest.dialects.request import Head
from ingest.dialects.table import TableRow
from ingest.fates import Reason
from schemas.keys import ID_CHARS, SECRET_CHARS
from schemas.site import RegisteredSite, SiteSettings
from tests.support.collecting import CHROME, NOON, URL, Bench
from tests.support.server_keys import KeyStore
from tests.support.serving import LANES, closed, serving

DAY_MS = 86_400_000
CURL = (b"User-Agent", b"python-requests/2.32.0")
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1"


def bearer(key: str) -> tuple[bytes, bytes]:
    return b"Authorization", f"Bearer {key}".encode()


async def with_key(*sites: str, **more: Any) -> tuple[Bench, tuple[bytes, bytes]]:
    """Returns a collector, and the header with a key of these sites."""
    store = KeyStore()
    key = store.add(*sites)
    return await Bench(keys=await store.read(), **more).ready(), bearer(key)


async def test_a_key_is_known_by_its_hash_and_its_scope() -> None:
    """One that reads numbers sends nothing; a text that is no key, and one that differs in a character, is none."""
    store = KeyStore()
    key, reading = store.add(), store.add(scope="read")
    known = await store.read()
    assert known.of(key) is not None
    other = key[:-1] + ("a" if key[-1] != "a" else "b")
    for text in (
        reading,
        other,
        "",
        "fbk_",
        f"fbk_{'0' * ID_CHARS}_{'0' * SECRET_CHARS}",
        "Bearer",
        key + " ",
        key.lower(),
    ):
        assert known.of(text) is None


async def test_a_revoked_key_is_gone_with_the_next_look() -> None:
    """While the source can't be read the last ones stay, and a record that can't be read is said once."""
    store, failed = KeyStore(), Counter[str]()
    key = store.add()
    known = ServerKeys(store, failed=lambda: failed.update(["keys"]))
    assert known.of(key) is None
    await known.refresh()
    assert known.of(key)
    store.is_away = True
    with pytest.raises(ConnectionError):
        await known.refresh()
    assert known.of(key)
    store.is_away = False
    store.records = {"broken": b"[" * 9_999}
    await known.refresh()
    assert known.of(key) is None
    store.records["other"] = b"{}"
    await known.refresh()
    assert failed == {"keys": 2}


async def test_without_a_key_nobody_says_who_sent() -> None:
    """Not even with what looks like a credential of somebody else."""
    bench, _ = await with_key()
    said = {"url": URL, "ip": "198.51.100.1", "user_agent": IPHONE, "visitor": "v", "session": str(NOON)}
    plain = bench.row({"url": URL})
    for headers in ((), ((b"Authorization", b"Basic d3JpdGU6"),), ((b"Authorization", b"Bearer None"),)):
        row = bench.row(said, headers=headers)
        assert (row.visitor_id, row.browser, row.session_id) == (plain.visitor_id, plain.browser, 0)
    assert bench.post({"url": URL, "ts": NOON - 31 * DAY_MS}).status == 400


async def test_with_a_key_a_server_says_who_sent() -> None:
    """The address and the agent are those that it names: the visitor is the one whom the page itself would have."""
    bench, header = await with_key("example.com")
    page = bench.row({"url": URL}, peer="198.51.100.1")
    iphone = bench.row({"url": URL}, peer="198.51.100.1", headers=[(b"User-Agent", IPHONE.encode())])
    said = {"url": URL, "ip": "198.51.100.1"}
    assert bench.row(said | {"user_agent": CHROME.decode()}, headers=[header, CURL]).visitor_id == page.visitor_id
    row = bench.row(said | {"user_agent": IPHONE}, headers=[header, CURL])
    assert (row.visitor_id, row.browser, row.os, row.device) == (iphone.visitor_id, "Safari", "iOS", "mobile")
    assert (row.bot, row.bot_reasons) == ("", 0)
    assert bench.row(said, headers=[header]).visitor_id == page.visitor_id


async def test_each_event_of_a_batch_has_its_own_sender() -> None:
    """One whose address is none costs no neighbour; one that names nothing has the server's."""
    bench, header = await with_key()
    ips = ("198.51.100.1", "nonsense", "2001:db8::1", None, "198.51.100.1", "", " " * 99 + "198.51.100.1")
    sent = bench.post([{"url": URL, "ip": ip} for ip in ips], headers=[header])
    assert [one["index"] for one in json.loads(sent.body)["rejected"]] == [1, 6]
    assert bench.reasons == {Reason.INVALID_FIELD: 2}
    first, second, third, fourth, fifth = [row.visitor_id for _, row in sent.rows]
    assert first == fourth
    assert len({first, second, third}) == 3
    assert third == fifth == bench.row({"url": URL}).visitor_id


async def test_a_server_is_no_bot_unless_it_says_that_one_came() -> None:
    """Its library is what sent the request; an agent that it names is judged as that of a page is."""
    bench, header = await with_key()
    assert bench.row({"url": URL}, headers=[CURL]).bot
    assert not bench.row({"url": URL}, headers=[header, CURL]).bot
    crawler = {"url": URL, "user_agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"}
    assert bench.row(crawler, headers=[header, CURL]).bot_name == "Googlebot"


async def test_a_key_allows_old_moments() -> None:
    """Five years, and no more, so that a block has few partitions."""
    bench, header = await with_key()
    for days, status in ((31, 202), (5 * 365, 202), (6 * 365, 400)):
        assert bench.post({"url": URL, "ts": NOON - days * DAY_MS}, headers=[header]).status == status


async def test_a_visitor_and_a_session_of_a_server_are_believed() -> None:
    """Hashed with the site; a session only if its id says when it began, and it can have begun then."""
    bench, header = await with_key()

    def row(site: str = "example.com", **fields: Any) -> Any:
        return bench.row({"site": site, "ts": NOON} | fields, headers=[header])

    one = row(visitor="v1", ip="198.51.100.1")
    assert one.visitor_id == row(visitor="v1", ip="198.51.100.2").visitor_id != row(visitor="v2").visitor_id
    assert one.visitor_id != row(site="other.example", visitor="v1").visitor_id
    start = NOON - 600_000
    uuid = f"{start >> 16:08x}-{start & 0xFFFF:04x}-7abc-8def-0123456789ab"
    ids = {said: row(visitor="v1", session=said).session_id for said in (str(start), str(start // 1_000), uuid)}
    assert len(set(ids.values())) == 3
    assert {found >> 32 for found in ids.values()} == {start // 1_000}
    assert row(visitor="v2", session=uuid.upper()).session_id == ids[uuid]
    assert row(visitor="v2", session=str(start)).session_id != ids[str(start)]
    assert row(site="other.example", visitor="v1", session=uuid).session_id != ids[uuid]
    for odd in (
        "",
        "abc",
        "-1",
        str(NOON - 2 * DAY_MS),
        str(NOON + 120_000),
        "1" * 13,
        "9" * 10,
        uuid.replace("-7", "-4"),
    ):
        assert row(visitor="v1", session=odd).session_id == 0


async def test_a_wrong_key_refuses_the_request() -> None:
    """Instead of counting everybody as the server: by 401, with a reason, also where its events would be taken without one."""
    bench, header = await with_key("example.com")
    wrong = bearer("fbk_" + "0" * ID_CHARS + "_" + "0" * SECRET_CHARS)
    assert bench.post([{"url": URL}], headers=[wrong]).status == 401
    assert bench.post({"url": URL}, headers=[bearer("fbk_nonsense")]).body == b'{"reason":"wrong_key"}'
    other = bench.post({"url": "https://other.example/"}, headers=[header])
    assert (other.status, other.body) == (401, b'{"reason":"wrong_key"}')
    both = bench.post(
        [{"url": "https://other.example/"}, {"url": URL}, {"url": "https://nobody.example/"}], headers=[header]
    )
    reasons = [one["reason"] for one in json.loads(both.body)["rejected"]]
    assert (len(both.rows), reasons) == (1, ["wrong_key", "unknown_site"])


async def test_basic_takes_a_key_as_name_or_as_password() -> None:
    """As `curl -u` sends it, and as SDKs do."""
    store = KeyStore()
    key = store.add()
    bench = await Bench(keys=await store.read()).ready()
    old = {"url": URL, "ts": NOON - 60 * DAY_MS}
    for pair in (f"{key}:", f"x:{key}"):
        header = (b"Authorization", b"Basic " + base64.b64encode(pair.encode()))
        assert bench.post(old, headers=[header]).status == 202


async def test_a_debug_answer_names_what_a_key_gives_effect() -> None:
    """`ip` is ignored without one."""
    bench, header = await with_key()
    said = {"url": URL, "ip": "198.51.100.1", "x": 1}
    assert json.loads(bench.post(said, target=b"/f?debug=1").body) == {"ignored": ["ip", "x"]}
    assert json.loads(bench.post(said, target=b"/f?debug=1", headers=[header]).body) == {"ignored": ["x"]}


async def test_events_with_and_without_a_key_share_a_commit() -> None:
    """Each is judged by its own right."""
    bench, header = await with_key()
    body = json.dumps([{"url": URL, "ip": "198.51.100.1", "ts": NOON - 60 * DAY_MS}]).encode()
    fields = [(b"Content-Type", b"text/plain"), CURL]
    made: list[Any] = [
        bench.exchange("POST", b"/f", [*fields, *more], body, "203.0.113.7") for more in ([], [header], [], [header])
    ]
    assert [one.status for one in bench.collect_all(made)] == [400, 202, 400, 202]


async def test_a_server_that_must_have_a_key_is_refused_without_one() -> None:
    """A dialect says so; a client that has no key hears it as one with a wrong key does."""

    class Import(Native):
        def decode(self, head: Head, body: bytes) -> Decoded:
            return Decoded([Event(url=URL)], False, 1, credential=body.decode(), needs_key=True)

    store = KeyStore()
    key = store.add()
    bench = await Bench(keys=await store.read(), routes=[TableRow("POST", "/f", Import(Limits()))]).ready()
    assert [bench.post(body).status for body in (b"", b"a secret", key.encode())] == [401, 401, 202]
    assert bench.reasons == {Reason.WRONG_KEY: 2}


class Shop:
    async def sites(self) -> dict[str, bytes]:
        return {
            "example.com": RegisteredSite(settings=SiteSettings(revenue_needs_key=True)).encode(),
            "other.example": b"{}",
        }


async def test_a_site_takes_revenue_only_with_a_key_if_it_wants_so() -> None:
    """Anybody can write a purchase into a request; what has no revenue is taken, and so are other sites' purchases."""
    sites = Sites(named=[], privacy="count", source=Shop())
    bench, header = await with_key(sites=sites)
    await sites.refresh()
    money = {"amount": "1", "currency": "EUR"}
    body = [{"url": URL, "revenue": money}, {"url": URL}, {"site": "other.example", "revenue": money}]
    sent = bench.post(body)
    assert json.loads(sent.body)["rejected"] == [{"index": 0, "reason": "revenue_needs_key"}]
    assert bench.post({"url": URL, "revenue": money}).status == 403
    assert len(bench.post(body, headers=[header]).rows) == 3


@pytest.mark.parametrize("lane", LANES)
async def test_a_revoked_key_is_refused_on_an_open_connection(lane: str) -> None:
    """The same head on the same connection, which is read anew each time, because it has a credential."""
    store = KeyStore()
    key = store.add()
    keys = await store.read()
    old = json.dumps({"url": URL, "ts": 1_798_718_400_000 - 60 * DAY_MS}).encode()
    request = b"POST /f HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nAuthorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b"
    async with serving(lane, keys=keys) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        statuses = []
        for at in range(4):
            if at == 2:
                store.records.clear()
                await keys.refresh()
            writer.write(request % (key.encode(), len(old), old))
            async with asyncio.timeout(30):
                head = await reader.readuntil(b"\r\n\r\n")
                if b"content-length: 0" not in head.lower() and b" 202 " not in head:
                    await reader.readuntil(b"}")
            statuses.append(head.split()[1])
        await closed(writer)
    assert statuses == [b"202", b"202", b"401", b"401"]
