"""Brings a URL into one form, takes host, path and query out of it, and cuts off what its site does not keep.

The form is that of the WHATWG URL standard, in which browsers send their addresses, with the normalisation of RFC 3986,
6.2.2.2, on top: `HTTPS://Shop.example:443` and `https://shop.example/` are one page, and so are `/%7euser` and `/~user`.
User, password and port of a URL are never kept. A final dot of a host is left out.

ClickHouse derives hostname, path, query, source and utm_* from what this module hands over (schemas/migrations), and
decides nothing by itself. Entries wait in Redis, and on its disk, for the replay tail: what a site does not keep is
therefore cut off here, before it is written anywhere.

A URL that is in its form already, as nearly all are, is recognised by one pattern (1 to 2 us); others take the parser of
the standard (8 us). `tests/servers/ingest/collect/test_url.py` holds the two equal. Because the pages of a site, and the
places that its visitors come from, repeat, URLs of usual length are remembered (0.1 us): a body of 50 costs half of what
it costs without.

Not promised: anything of the path. A token that a site puts into a path is stored.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from ada_url import URL

from ingest.dialects.event import is_over
from schemas.host import WWW
from schemas.row import KEEP_FRAGMENT, KEEP_QUERY

# A lower-case name whose last label begins with a letter (so it is not an IP address), without a port, and a path without
# dot segments and without characters that must be escaped.
_usual = re.compile(
    r"(https?://((?![^/?#]*xn--)(?:[a-z0-9_.-]*\.)?[a-z][a-z0-9-]*))"
    r"((?![^?#]*/\.)/[A-Za-z0-9._~!$&'()*+,;=:@/%-]*|)"
    r"(?:\?([^#\x00-\x20]*))?(?:#([^\x00-\x20]*))?\Z"
).match
# An escape that is not needed, is in lower case, or is no escape at all.
_odd_escape = re.compile(r"%(?![89A-F][0-9A-F]|20|2F)").search
_split = re.compile(r"([^?#]*)(?:\?([^#]*))?(?:#(.*))?\Z", re.DOTALL).match
_absolute = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/\\]").match
# Documents without a host: a page in a frame's `srcdoc` or one that a script wrote.
_hostless = re.compile(r"(?:about|blob|data|javascript):", re.IGNORECASE).match
_file = re.compile(r"file:", re.IGNORECASE).match
# In which text the column `source` finds a host: a text that is no URL must hold none.
_has_host = re.compile(r"[a-z0-9+.:-]*//[^/]").match
_escape = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_BLANKS = "".join(map(chr, range(0x21)))
_NO_BREAKS = str.maketrans("", "", "\t\r\n")

# A click id is kept as its presence, the others with their value. The column `query` has the same list.
_allowed = re.compile(r"(?:utm_[a-z_]+|ref|source|via)=").match
_click = re.compile(r"((?:gclid|gbraid|wbraid|fbclid|msclkid|ttclid|twclid|li_fat_id|yclid|dclid)=)").match
# A tool that appends a second query with a "?" means its parameters to be found.
_second_query = re.compile(r"\?(?=(?:utm_[a-z_]+|ref|source|via|[a-z_]*cl?id|[gw]braid)=)")


REMEMBERED = 4_096  # URLs, and as many referrers, of at most so many characters each: 4 MB where all of them are ASCII
REMEMBERED_CHARS_MAX = 256
HEAD_CHARS_MAX = 32 << 10  # before the query: a longer one is no page that a row can hold, in whichever form


class Location(NamedTuple):
    """Holds the parts of a URL. `host` is as sites are compared, without `www.`; it is "" for a document without a host.

    `page` is scheme, host and path in their one form, and "" for a document that has none of them. `query` and
    `fragment` are as the client wrote them.
    """

    host: str
    page: str
    query: str
    fragment: str


NOWHERE = Location("", "", "", "")
NO_REFERRER = ("", "")


def located(url: str) -> Location | None:
    """Returns a URL in its parts, or None when it is not absolute."""
    return _remembered(url) if len(url) <= REMEMBERED_CHARS_MAX else _found(url)


def located_all(urls: Sequence[str | None]) -> list[Location | None]:
    """Does what `located` does for each, and returns None where there is no URL."""
    return [(_remembered(url) if len(url) <= REMEMBERED_CHARS_MAX else _found(url)) if url else None for url in urls]


def _found(url: str) -> Location | None:
    usual = _usual(url)
    if usual is None:
        return _located(url)
    start, host, path, query, fragment = usual.groups("")
    if "%" in path and _odd_escape(path):
        return _located(url)
    return Location(host.removeprefix(WWW), start + (path or "/"), query, fragment)


_remembered = lru_cache(REMEMBERED)(_found)


def _located(url: str) -> Location | None:
    """Does what `located` does, for every URL, by the parser of the standard."""
    said = _split(url.strip(_BLANKS).translate(_NO_BREAKS))
    assert said is not None  # the pattern fits any text
    head, query, fragment = said.groups("")
    if _hostless(head):
        return NOWHERE
    is_file = _file(head)
    if not is_file and not _absolute(head):
        return None
    try:
        parsed = URL(head)
    except ValueError:
        return None
    path = parsed.pathname if len(head) > HEAD_CHARS_MAX else _escape.sub(_unescaped, parsed.pathname)
    path = path or "/"
    if is_file:  # the directories of a person's disk are personal; the page's own name is not
        return Location("", f"file:///{path.rpartition('/')[2]}", query, fragment)
    host = parsed.hostname.lower().removesuffix(".")
    if not host.removeprefix(WWW):
        return None
    return Location(host.removeprefix(WWW), f"{parsed.protocol}//{host}{path}", query, fragment)


def _unescaped(escape: re.Match[str]) -> str:
    character = chr(int(escape[0][1:], 16))
    return character if character in _UNRESERVED else escape[0].upper()


def kept(location: Location, flags: int, bytes_max: int) -> str | None:
    """Returns a page's URL with what its site keeps of it; `flags` are those of row.url_flags.

    Parameters behind the fragment's own "?" move to the query, and are cut to the same list; the fragment is a route,
    or nothing. Lengths are judged afterwards: a whole query that is too long is cut to the list, and a URL that is too
    long even then has no place (None).
    """
    _, page, query, fragment = location
    if len(page) + len(query) + len(fragment) <= REMEMBERED_CHARS_MAX:
        return _remembered_kept(location, flags, bytes_max)
    return _fitting(location, flags, bytes_max)


def kept_all(locations: Sequence[Location | None], flags: Sequence[int], bytes_max: int) -> list[str | None]:
    """Does what `kept` does for each, and returns "" where there is no URL."""
    return [
        kept(location, flag, bytes_max) if location else "" for location, flag in zip(locations, flags, strict=True)
    ]


def _fitting(location: Location, flags: int, bytes_max: int) -> str | None:
    url = _kept(location, flags)
    if is_over(url, bytes_max) and flags & KEEP_QUERY:
        url = _kept(location, flags & ~KEEP_QUERY)
    return None if is_over(url, bytes_max) else url


_remembered_kept = lru_cache(REMEMBERED)(_fitting)


def _kept(location: Location, flags: int) -> str:
    page, query, fragment = location[1:]
    if not query and not fragment:
        return page
    if query and not flags & KEEP_QUERY:
        query = _parameters(query)
    if fragment:
        fragment, more = _route(fragment, flags)
        query = f"{query}&{more}" if query and more else query or more
    url = f"{page}?{query}" if query else page
    return f"{url}#{fragment}" if fragment else url


def _route(fragment: str, flags: int) -> tuple[str, str]:
    """Returns the route that a fragment is, "" where the site has none, and the parameters of it that are kept."""
    route, _, query = fragment.partition("?")
    if "=" in route and route[0] not in "/!":  # as in #access_token=...: parameters, and no route
        return "", _parameters(fragment)
    if not flags & KEEP_FRAGMENT:
        return "", _parameters(query)
    return route, query if flags & KEEP_QUERY else _parameters(query)


def _parameters(query: str) -> str:
    found = []
    for part in query.split("&"):
        for parameter in _second_query.split(part) if "?" in part else (part,):
            if _allowed(parameter):
                found.append(parameter)
            elif click := _click(parameter):
                found.append(click[1] + "1")
    return "&".join(found)


def referring(said: str, bytes_max: int) -> tuple[str, str]:
    """Returns the host of a referrer, as sites are compared, and as much of the referrer as any site keeps.

    That is its scheme, host and path. What is longer than `bytes_max` is cut to its host, as browsers do (Referrer
    Policy, 8.3). A text that is no URL is kept without its query, and has no host.
    """
    return _referred(said, bytes_max) if len(said) <= REMEMBERED_CHARS_MAX else _referring(said, bytes_max)


def referring_all(said: Sequence[str], bytes_max: int) -> list[tuple[str, str]]:
    """Does what `referring` does for each, and returns two empty texts where there is none."""
    return [
        (_referred(one, bytes_max) if len(one) <= REMEMBERED_CHARS_MAX else _referring(one, bytes_max))
        if one
        else NO_REFERRER
        for one in said
    ]


def _referring(said: str, bytes_max: int) -> tuple[str, str]:
    location = _found(said)
    if location is None:
        location = _without_scheme(said)
    if location is None:
        text = said.partition("?")[0].partition("#")[0]
        return "", "" if "@" in text or len(text) > bytes_max // 4 or _has_host(text) else text
    if len(location.page) > bytes_max:  # ASCII: a character is a byte
        scheme, _, rest = location.page.partition("//")
        return location.host, f"{scheme}//{rest.partition('/')[0]}/"
    return location.host, location.page


def _without_scheme(said: str) -> Location | None:
    """Returns the place of `//example.com/page` or `www.example.com/page`; some libraries leave the scheme out."""
    if "://" in said:
        return None
    is_relative = said.startswith("//")
    location = _found(f"https:{said}" if is_relative else f"https://{said}")
    if location is None or not (is_relative or "." in location.host):
        return None
    return location._replace(page=location.page.removeprefix("https:"))


_referred = lru_cache(REMEMBERED)(_referring)
