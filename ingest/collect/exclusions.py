"""Judges whether a site leaves an event out: by who sent it, and by the page that it is of.

A site's rules are compiled once, when its record is read, and the same rules give the same objects. What a
sender is excluded by, address and country, is judged once for a sender and a site (places.py); what a page is excluded by, path
and host name, once for each page of a site that has such rules. A site without rules has neither object, and pays nothing.

The forms of the rules are in schemas/exclusions.py. A rule that can't be read is passed over and said: its events count,
which is better than to lose those of the whole site.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

from ingest.collect.exchange import Sender
from schemas.exclusions import ANY, KINDS, Network, fits, network
from schemas.site import Exclusions

COMPILED_MAX = 1_024  # sites' rules; reading 100 networks takes 0.5 ms, and every record is read again when one changes
PAGES_MAX = 4_096  # of a site, whose answer is remembered: 100 patterns take 20 us
PAGE_CHARS_MAX = 256  # of one that is remembered


class SenderRules:
    """Holds the rules of one site about who sends."""

    __slots__ = ("_countries", "_networks")

    def __init__(self, networks: Iterable[Network], countries: Iterable[str]) -> None:
        self._countries = frozenset(countries)
        # By version and length: a hundred networks have few lengths, and one look finds all of one length.
        self._networks: dict[int, dict[int, set[int]]] = {4: {}, 6: {}}
        for one in networks:
            shift = one.max_prefixlen - one.prefixlen
            self._networks[one.version].setdefault(shift, set()).add(int(one.network_address) >> shift)

    def exclude(self, sender: Sender) -> bool:
        """Tells whether the site leaves out what this sender sends."""
        if sender.where.country in self._countries:
            return True
        text = sender.client.address.text
        if not text:
            return False
        by_length = self._networks[6 if ":" in text else 4]
        if not by_length:
            return False
        address = int(ip_address(text))
        return any(address >> shift in found for shift, found in by_length.items())


class PageRules:
    """Holds the rules of one site about pages."""

    __slots__ = ("_answers", "_hosts", "_paths")

    def __init__(self, hosts: Iterable[str], paths: Iterable[str]) -> None:
        self._hosts = Patterns(hosts)
        self._paths = Patterns(paths)
        self._answers: dict[tuple[str, str], bool] = {}

    def exclude(self, host: str, url: str) -> bool:
        """Tells whether the site leaves out what is of this page; `url` as it is stored."""
        path = path_of(url)
        key = (host, path)
        answer = self._answers.get(key)
        if answer is None:
            answer = (bool(host) and self._hosts.fit(host)) or (bool(path) and self._paths.fit(path))
            if len(path) <= PAGE_CHARS_MAX:
                if len(self._answers) >= PAGES_MAX:
                    self._answers.clear()
                self._answers[key] = answer
        return answer


class Patterns:
    """Holds patterns: those without a wildcard are looked up, the others are tried one by one."""

    __slots__ = ("_exact", "_wild")

    def __init__(self, patterns: Iterable[str]) -> None:
        given = tuple(patterns)
        self._exact = frozenset(one for one in given if ANY not in one)
        self._wild = tuple([one for one in given if ANY in one])

    def fit(self, text: str) -> bool:
        """Tells whether one of them is what this text is."""
        return text in self._exact or any(fits(one, text) for one in self._wild)


class Compiled(NamedTuple):
    """Holds the rules of a site, None where it has none of a kind, and what is wrong with those that can't be used."""

    senders: SenderRules | None
    pages: PageRules | None
    faults: tuple[str, ...]


@lru_cache(COMPILED_MAX)
def compiled(rules: Exclusions) -> Compiled:
    """Returns a site's rules, ready to be asked."""
    faults: list[str] = []
    good: dict[str, list[str]] = {}
    for field, (_, form) in KINDS.items():
        good[field] = []
        for rule in getattr(rules, field):
            try:
                good[field].append(form(rule))
            except ValueError as error:
                faults.append(str(error))
    networks = [network(rule) for rule in good["addresses"]]
    senders = SenderRules(networks, good["countries"]) if networks or good["countries"] else None
    pages = PageRules(good["hostnames"], good["paths"]) if good["hostnames"] or good["paths"] else None
    return Compiled(senders, pages, tuple(faults))


def path_of(url: str) -> str:
    """Returns the path of a URL as it is stored, as ClickHouse makes the column `path` of it; "" where there is no URL.

    A fragment is kept only where the site routes by it, and then it is part of the path.
    """
    page, sign, fragment = url.partition("#")
    parts = page.partition("?")[0].split("/", 3)
    return f"/{parts[3]}{sign}{fragment}" if len(parts) > 3 else ""
