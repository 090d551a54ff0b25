"""Reads and checks the rules by which a site excludes events: by address, path, country or host name.

    addresses   203.0.113.7, 203.0.113.0/24, 2001:db8:1:2::/64. One IPv6 address stands for its /64, because the lower half
                of a person's address changes several times a day; with a length, /128 for instance, it is taken as given
    paths       /admin, /admin/*, *.php: `*` stands for any characters. Written as they are stored, escapes included
    countries   DE
    hostnames   staging.example.com, *.preview.example: of the page, without `www.`

A rule is kept in one form, however it was written, so that the same rule is never kept twice.

Not promised: that the rules hold for what is stored already. They are applied when an event comes in.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import quote

from schemas.countries import country_code
from schemas.host import NAME_CHARS_MAX, site_name

RULES_MAX = 100  # of a kind
PATTERN_CHARS_MAX = 500
ANY = "*"
EVERYTHING = "{!r} would leave out every event of the site: `forebay site remove` does that"
PERSON_BITS = 64  # of an IPv6 address, those that a person's network keeps
MAPPED = IPv6Network("::ffff:0:0/96")  # IPv4 addresses, as IPv6 writes them
Network = IPv4Network | IPv6Network

_escape = re.compile(r"%[0-9A-Fa-f]{2}")
_unreserved = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_host_pattern = re.compile(r"[a-z0-9*](?:[a-z0-9._*-]*[a-z0-9*])?|\[[0-9a-f:.]+\]").fullmatch


def network(said: str) -> Network:
    """Returns the network that a rule of addresses means. Raises ValueError."""
    text = said.strip()
    try:
        found = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f"{said[:64]!r} is neither an address nor a network: write 203.0.113.7 or 203.0.113.0/24"
        ) from None
    if isinstance(found, IPv6Network):
        if found.subnet_of(MAPPED):
            found = ip_network((int(found.network_address) & 0xFFFFFFFF, found.prefixlen - 96))
        elif "/" not in text:
            found = ip_network((int(found.network_address), PERSON_BITS), strict=False)
    if not found.prefixlen:
        raise ValueError(EVERYTHING.format(said[:64]))
    return found


def address(said: str) -> str:
    """Returns a rule of addresses in its one form: an IPv4 address, or a network. Raises ValueError."""
    found = network(said)
    return str(found.network_address) if found.prefixlen == 32 and found.version == 4 else str(found)


def path(said: str) -> str:
    """Returns a path with wildcards, as `path_form` does, unless it means every page. Raises ValueError."""
    text = path_form(said)
    if ANY in text and not text.strip("*/"):
        raise ValueError(EVERYTHING.format(said[:64]))
    return text


def path_form(said: str) -> str:
    """Returns a path with wildcards in the form of the column `path`. Raises ValueError."""
    text = said.strip()
    if not text.startswith(("/", ANY)):
        raise ValueError(f"{said[:64]!r} is no path: it begins with / or *")
    if len(text) > PATTERN_CHARS_MAX:
        raise ValueError(f"a path has at most {PATTERN_CHARS_MAX} characters")
    page, sign, fragment = text.partition("#")
    if "?" in page:
        raise ValueError(f"{said[:64]!r} has a query (?), which is no part of a path")
    escaped = quote(page, safe="/%!$&'()*+,;=:@[]|")
    return _escape.sub(_as_stored, escaped) + sign + fragment


def _as_stored(escape: re.Match[str]) -> str:
    """Returns an escape as ingest stores it: in upper case, or as the character itself if it needs no escape."""
    character = chr(int(escape[0][1:], 16))
    return character if character in _unreserved else escape[0].upper()


def country(said: str) -> str:
    """Returns the code of a country. Raises ValueError."""
    if not (code := country_code(said)):
        raise ValueError(f"{said[:64]!r} is no country: write the two letters of ISO 3166, such as DE")
    return code


def hostname(said: str) -> str:
    """Returns a host with wildcards, as hosts of pages are compared. Raises ValueError."""
    name = site_name(said)
    if len(name) > NAME_CHARS_MAX or not _host_pattern(name):
        raise ValueError(f"{said[:64]!r} is no host name: write staging.example.com or *.example.com")
    if ANY in name and not name.strip("*."):
        raise ValueError(EVERYTHING.format(said[:64]))
    return name


# The fields of Exclusions, what a rule of each is called, and what gives it its form.
KINDS: dict[str, tuple[str, Callable[[str], str]]] = {
    "addresses": ("address", address),
    "paths": ("path", path),
    "countries": ("country", country),
    "hostnames": ("hostname", hostname),
}


def fits(pattern: str, text: str) -> bool:
    """Tells whether a text fits a pattern, in which each `*` stands for any characters.

    The parts between them are searched one after the other, so a pattern takes time in proportion to the text, however many `*`
    it has; a regular expression could take a power of it.
    """
    first, *rest = pattern.split(ANY)
    if not rest:
        return text == first
    *middle, last = rest
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
