"""Judges whether a site leaves an event out: by who sent it, by the page that it is of, and by whether it measures its host.

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
from ingest.fates import Reason
from schemas.exclusions import ANY, KINDS, Network, fits, hostname, network
from schemas.site import Exclusions

COMPILED_MAX = 1_024  # sites' rules; reading 100 networks takes 0.5 ms, and every record is read again when one changes
PAGES_MAX = 4_096  # of a site, whose answer is remembered: 100 patterns take 20 us
PAGE_CHARS_MAX = 256  # of one that is remembered
SCREEN = "app://"  # how the address of a screen of an app begins (ingest/dialects/vocabulary.py)
UNKNOWN = Reason.SERVER_ERROR  # in place of an answer: no page has it


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

    __slots__ = ("_allowed", "_answers", "_hosts", "_paths")

    def __init__(self, hosts: Iterable[str], paths: Iterable[str], allowed: Iterable[str] | None = None) -> None:
        """Takes the hosts and paths that are left out, and in `allowed` the only hosts that are not; None is every host."""
        self._hosts = Patterns(hosts)
        self._paths = Patterns(paths)
        self._allowed = None if allowed is None else Patterns(allowed)
        self._answers: dict[tuple[str, str, bool], Reason | None] = {}

    def judge(self, host: str, url: str) -> Reason | None:
        """Returns why the site leaves out what is of this page, or None; `url` as it is stored. A page without a host has any.

        So has a screen of an app (app://…): what stands in the place of its host is the app's own name.
        """
        path = path_of(url)
        is_screen = url.startswith(SCREEN)
        key = (host, path, is_screen)
        answer = self._answers.get(key, UNKNOWN)
        if answer is UNKNOWN:
            answer = self._judged(host, path, is_screen=is_screen)
            if len(path) <= PAGE_CHARS_MAX:
                if len(self._answers) >= PAGES_MAX:
                    self._answers.clear()
                self._answers[key] = answer
        return answer

    def _judged(self, host: str, path: str, *, is_screen: bool) -> Reason | None:
        if (host and self._hosts.fit(host)) or (path and self._paths.fit(path)):
            return Reason.EXCLUDED
        is_foreign = host and not is_screen and self._allowed is not None and not self._allowed.fit(host)
        return Reason.FOREIGN_HOST if is_foreign else None


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
def compiled(rules: Exclusions, hosts: tuple[str, ...] = (), own: frozenset[str] = frozenset()) -> Compiled:
    """Returns a site's rules, ready to be asked. With `hosts` it measures these and its `own` ones, and no others."""
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
    allowed = _hosts(hosts, faults)
    pages = None
    if good["hostnames"] or good["paths"] or allowed:
        pages = PageRules(good["hostnames"], good["paths"], (*allowed, *own) if allowed else None)
    return Compiled(senders, pages, tuple(faults))


def _hosts(said: Iterable[str], faults: list[str]) -> list[str]:
    """Returns the patterns that can be read, and adds what is wrong with the others."""
    found = []
    for one in said:
        try:
            found.append(hostname(one))
        except ValueError as error:
            faults.append(str(error))
    return found


def path_of(url: str) -> str:
    """Returns the path of a URL as it is stored, as ClickHouse makes the column `path` of it; "" where there is no URL.

    A fragment is kept only where the site routes by it, and then it is part of the path.
    """
    page, sign, fragment = url.partition("#")
    parts = page.partition("?")[0].split("/", 3)
    return f"/{parts[3]}{sign}{fragment}" if len(parts) > 3 else ""
