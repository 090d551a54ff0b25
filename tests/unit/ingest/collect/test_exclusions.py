"""ingest/collect/exclusions.py: what a site leaves out is counted with its reason, costs no neighbour, and follows the rules at once."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.collect.exclusions import PAGES_MAX, PageRules, SenderRules, compiled, path_of
from ingest.collect.sites import Sites
from ingest.fates import Reason
from runtime.client_ip import Address, Client
from schemas.exclusions import KINDS, Network
from schemas.site import Exclusions, RegisteredSite
from tests.support.collecting import URL
from tests.support.remembering import PEER, Known

SHOP = "https://shop.example"
RULES = Exclusions(
    addresses=("203.0.113.0/28", "198.51.100.7", "2001:db8:1:2::/64"),
    paths=("/admin", "/private/*", "/#/secret/*", "/%C3%BCber"),
    countries=("US",),
    hostnames=("staging.shop.example", "*.preview.example"),
)


async def leaving(rules: Exclusions = RULES, also: Mapping[str, bytes] | None = None) -> Known:
    """Returns a collector of a site with these rules, of others without, and of those whose records are given."""
    known = Known()
    site = RegisteredSite(domains=("staging.shop.example",), exclusions=rules)
    known.source.registered["shop.example"] = site.encode()
    known.source.registered |= also or {}
    return await known.ready()


A_SENDER = Known().bench.collector.sender("", {})
SENDERS = {
    PEER: True,  # 203.0.113.7
    "203.0.113.15": True,
    "203.0.113.16": False,
    "198.51.100.7": True,
    "::ffff:198.51.100.7": True,
    "198.51.100.8": False,
    "2001:db8:1:2:aaaa::5": True,
    "2001:db8:1:3::5": False,
    "8.8.8.8": True,  # the United States, by the registries
    "193.0.6.139": False,
    "": False,
    "unix": False,
}


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("peer", SENDERS)
async def test_a_sender_is_left_out_by_address_and_by_country(peer: str, is_known: bool) -> None:
    """Whether its head is known again or not, the second time as the first; and of no other site."""
    known = await leaving()
    for _ in range(2):
        asked = known.head(peer=peer, is_known=is_known)
        asked.sender = known.bench.collector.sender(peer, asked.head.fields)
        sent = known.send(asked, url=f"{SHOP}/")
        assert (sent.status, bool(sent.rows)) == (202, not SENDERS[peer])
        if SENDERS[peer]:
            assert sent.body == b'{"reason":"excluded"}'
        assert known.send(asked, url=URL).rows
    wanted = {("shop.example", Reason.EXCLUDED): 2} if SENDERS[peer] else {}
    assert known.bench.counts.rejections == wanted
    assert known.bench.rejections.take() == ({("excluded", "shop.example"): 2} if SENDERS[peer] else {})


PAGES = {
    f"{SHOP}/": False,
    f"{SHOP}/admin": True,
    f"{SHOP}/admin?tab=1#x": True,
    "https://www.shop.example:8443/admin": True,
    f"{SHOP}/administration": False,
    f"{SHOP}/admin/x": False,
    f"{SHOP}/private": False,
    f"{SHOP}/private/": True,
    f"{SHOP}/private/deep/er?a=b": True,
    f"{SHOP}/a/private/x": False,
    f"{SHOP}/%c3%bcber": True,
    f"{SHOP}/über": True,
    "https://staging.shop.example/": True,
    "https://STAGING.shop.example./x": True,
    "https://a.b.preview.example/": True,
    "https://preview.example/": False,
}


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_page_is_left_out_by_path_and_by_host_name(is_known: bool) -> None:
    """In whichever form its client wrote it, and an event of the same request stays."""
    known = await leaving(Exclusions(paths=RULES.paths, hostnames=RULES.hostnames))
    asked = known.head(is_known=is_known)
    for url, is_out in PAGES.items():
        body = [{"url": url, "site": "shop.example"}, {"url": URL}, {"site": "shop.example", "name": "from a server"}]
        [sent] = known.send_all(asked, body)
        assert len(sent.rows) == 3 - is_out, url
        said = json.loads(sent.body)
        assert said["rejected"] == ([{"index": 0, "reason": "excluded"}] if is_out else [])
        assert sent.status == 202
    assert known.bench.counts.rejections == {("shop.example", Reason.EXCLUDED): sum(PAGES.values())}


async def test_only_pages_of_the_allowed_hosts_are_measured() -> None:
    """The site's own name and domains are; what has no page has no host, nor has a screen of an app. A rule that leaves out comes first."""
    text = RegisteredSite(
        domains=("shop.example.org",), hosts=("*.pay.example", "not a host"), exclusions=Exclusions(paths=("/x",))
    ).encode()
    known = await leaving(also={"shop.example": text})
    for url, reason in {
        f"{SHOP}/": None,
        "https://www.shop.example/": None,
        "https://shop.example.org/": None,
        "https://a.pay.example/": None,
        "https://pay.example/": "foreign_host",
        "https://evil.example/shop.example": "foreign_host",
        "https://sub.shop.example/": "foreign_host",
        "https://evil.example/x": "excluded",
        "file:///C:/shop.html": None,
        "app://com.example.app/Home": None,
        "app://com.example.app/x": "excluded",
    }.items():
        sent = known.send(known.head(peer="198.51.100.9"), url=url, site="shop.example")
        assert (sent.status, bool(sent.rows)) == (202, reason is None), url
        assert not reason or json.loads(sent.body) == {"reason": reason}
    assert known.send(known.head(peer="198.51.100.9"), url="", site="shop.example").rows
    assert known.bench.counts.rejections[("shop.example", Reason.FOREIGN_HOST)] == 3


async def test_with_routes_in_the_fragment_a_rule_names_them_as_the_table_does() -> None:
    """Of a site that does not keep the fragment, the path is that in front of it."""
    text = RegisteredSite(exclusions=RULES).encode()
    routed = text.replace(b'"settings":{}', b'"settings":{"hash_routing":true}')
    known = await leaving(also={"app.example": routed, "plain.example": text})
    asked = known.head(peer="193.0.6.139")
    for name, is_out in (("app.example", True), ("plain.example", False)):
        sent = known.send(asked, url=f"https://{name}/#/secret/x?utm_source=a", site=name)
        assert bool(sent.rows) != is_out


async def test_an_array_of_nothing_but_what_is_left_out_is_no_fault() -> None:
    """Its client did nothing wrong, so it must not log an error, nor try again."""
    known = await leaving()
    [sent] = known.send_all(known.asked, [{"url": f"{SHOP}/"}] * 2)
    assert sent.status == 202
    assert json.loads(sent.body)["accepted"] == 0


async def test_a_signal_that_the_site_honours_comes_first() -> None:
    """Each event has one fate, and who says that it must not be counted hears that."""
    text = RegisteredSite(exclusions=RULES).encode().replace(b'"settings":{}', b'"settings":{"privacy":"drop"}')
    known = await leaving(also={"shop.example": text})
    sent = known.send(known.head((b"Sec-GPC", b"1")), url=f"{SHOP}/admin")
    assert sent.body == b'{"reason":"privacy"}'
    assert known.bench.counts.rejections == {("shop.example", Reason.PRIVACY): 1}


async def test_a_sender_is_judged_once_and_a_changed_rule_counts_at_once() -> None:
    """What is left out is remembered as a place is, and forgotten when the sites change."""
    known = await leaving()
    assert not known.send(url=f"{SHOP}/").rows
    assert len(known.held) == 1
    assert known.hashes(url=f"{SHOP}/") == 0
    known.source.registered["shop.example"] = RegisteredSite().encode()
    await known.sites.refresh()
    assert known.held == []
    assert known.send(url=f"{SHOP}/admin").rows
    known.source.registered["shop.example"] = RegisteredSite(exclusions=RULES).encode()
    await known.sites.refresh()
    assert not known.send(url=f"{SHOP}/").rows


async def test_an_sdk_that_numbers_its_visitors_is_left_out_too() -> None:
    """It is the request's address that a rule means."""
    known = await leaving()
    assert known.place("shop.example", "v1") is Reason.EXCLUDED
    assert known.place("example.com", "v1") is not Reason.EXCLUDED


async def test_rules_that_can_not_be_used_are_passed_over_and_said(caplog: pytest.LogCaptureFixture) -> None:
    """A newer release's kind of rule, or a hand's mistake, costs no event and no other rule."""
    known = Known()
    failed: Counter[str] = Counter()
    known.sites = Sites(named=[], privacy="count", source=known.source, failed=lambda: failed.update(["sites"]))
    known.source.registered["shop.example"] = (
        b'{"exclusions": {"addresses": ["203.0.113.0-203.0.113.9", "198.51.100.7"], "paths": ["admin"], "networks_of": ["AS1"]}}'
    )
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await known.sites.refresh()
            known.source.registered["other.example"] += b" "
    site = known.sites.resolve("shop.example")
    assert site is not None
    assert site.senders is not None
    assert site.pages is None
    assert failed == {"sites": 1}
    assert "203.0.113.0-203.0.113.9" in caplog.text
    asked = known.head(peer="198.51.100.7")
    assert asked.sender is not None
    assert site.senders.exclude(asked.sender)


async def test_a_site_without_rules_has_nothing_to_ask() -> None:
    """It is what most sites are, on the hottest way of all."""
    known = await Known().ready()
    site = known.sites.resolve("example.com")
    assert site is not None
    assert (site.senders, site.pages, known.sites.leave_out_pages) == (None, None, False)
    known = await leaving(Exclusions(countries=("US",)))
    assert not known.sites.leave_out_pages
    assert (await leaving()).sites.leave_out_pages


def test_equal_rules_are_read_once() -> None:
    """All records are read again when one of them changes."""
    again = msgspec.json.decode(msgspec.json.encode(RULES), type=Exclusions)
    assert compiled(again) is compiled(RULES)


FOUR = st.tuples(st.integers(0, (1 << 32) - 1), st.integers(1, 32)).map(lambda one: IPv4Network(one, strict=False))
SIX = st.tuples(st.integers(1 << 64, (1 << 128) - 1), st.integers(1, 128)).map(
    lambda one: IPv6Network(one, strict=False)
)


@given(st.data(), st.lists(FOUR | SIX, min_size=1, max_size=8))
def test_networks_hold_what_the_standard_library_says(data: st.DataObject, networks: list[Network]) -> None:
    """Of both versions and all lengths, inside of a network, on its edges, and right beside it."""
    rules = SenderRules(networks, [])
    near = data.draw(st.sampled_from(networks))
    first, last = int(near.network_address), int(near.broadcast_address)
    number = data.draw(st.sampled_from([first, last]) | st.integers(first, last)) + data.draw(
        st.sampled_from([-1, 0, 1])
    )
    address = type(near.network_address)(min(max(number, 0), (1 << near.max_prefixlen) - 1))
    sender = msgspec.structs.replace(A_SENDER, client=Client(Address(str(address), ""), False))
    assert rules.exclude(sender) == any(address in one for one in networks if one.version == address.version)


def test_remembered_pages_are_bounded() -> None:
    """A stranger can invent any number."""
    rules = PageRules([], ["/*x"])
    for at in range(PAGES_MAX + 10):
        assert not rules.judge("a.example", f"https://a.example/{at}")
    rules.judge("a.example", "https://a.example/" + "y" * 1_000)
    assert len(rules._answers) <= PAGES_MAX


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("", ""),
        ("https://a.example/", "/"),
        ("https://a.example/a/b?c#d", "/a/b#d"),
        ("file:///x", "/x"),
        ("https://[::1]/x", "/x"),
    ],
)
def test_the_path_of_a_stored_url(url: str, path: str) -> None:
    """As the table makes it; tests/servers/ingest/collect/test_url.py compares the two."""
    assert path_of(url) == path


ODD_EVENTS = st.fixed_dictionaries(
    {"url": st.sampled_from([*PAGES, URL, "", "no url", f"{SHOP}/{'x' * 3_000}", "https://unknown.example/"])},
    optional={
        "site": st.sampled_from(["shop.example", "example.com", "nobody.example", ""]),
        "name": st.sampled_from(["", "x" * 200]),
    },
)


@given(
    st.lists(st.lists(ODD_EVENTS, min_size=1, max_size=6), min_size=1, max_size=4),
    st.lists(st.sampled_from([*SENDERS]), min_size=4, max_size=4),
)
async def test_the_books_balance_whatever_is_left_out(requests: list[list[Any]], peers: list[str]) -> None:
    """Every event of every request has one fate, on both ways, and what is left out is what a plain reading of the rules says."""
    known = await leaving()
    for is_known in (True, False):
        known.bench.counts.rejections.clear()
        rows = told = left_out = 0
        for events, peer in zip(requests, peers, strict=False):
            asked = known.head(peer=peer, is_known=is_known)
            asked.sender = known.bench.collector.sender(peer, asked.head.fields)
            [sent] = known.send_all(asked, events)
            reasons = [one["reason"] for one in json.loads(sent.body)["rejected"]]
            rows, told = rows + len(sent.rows), told + len(reasons)
            left_out += reasons.count("excluded")
            assert all(row.site != "shop.example" or not SENDERS[peer] for _, row in sent.rows)
            assert not [row for _, row in sent.rows if row.site == "shop.example" and PAGES.get(row.url)]
        assert rows + told == sum(map(len, requests[: len(peers)]))
        assert sum(known.bench.counts.rejections.values()) == told
        assert known.bench.reasons[Reason.EXCLUDED] == left_out
        assert not [
            site
            for site, reason in known.bench.counts.rejections
            if reason is Reason.EXCLUDED and site != "shop.example"
        ]


def test_every_kind_of_rule_is_judged() -> None:
    """A kind that the record has and nobody asks would leave out nothing, in silence."""
    for field in KINDS:
        rules = compiled(Exclusions(**{field: getattr(RULES, field)}))
        assert (rules.senders is not None) != (rules.pages is not None)
