"""Gives a host, and the name of a site, the one form in which Forebay compares and stores it.

The form is that of the WHATWG URL standard, which is what browsers send: lower case, other scripts than ASCII in
punycode (UTS 46), an IPv4 address in four decimal numbers, an IPv6 address in brackets and shortened. On top of it a
final dot is left out, for `example.com.` and `example.com` are the same page to everybody who asks.

Not promised: that a host exists, or that it may be registered.
"""

from __future__ import annotations

import re

from ada_url import URL

WWW = "www."
NAME_CHARS_MAX = 253  # of a host in DNS
_word = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?").fullmatch  # a host, a UUID or a word
_server_key = re.compile(r"fbk_[0-9a-z]{10}_[0-9a-z]{8}", re.IGNORECASE).search  # its beginning (schemas/keys.py)
_bracketed = re.compile(r"\[[0-9a-f:.]+\]").fullmatch  # an address, as on a developer's machine


class NoSiteName(ValueError):
    """Says that no site can be called so, and what to write instead."""


def site_name(said: str) -> str:
    """Returns a site's name, or a host, as sites are compared: without case, blanks, `www.` and a final dot.

    A name in another script becomes punycode, because that is how browsers send it; one that is no host at all stays
    as it is, in lower case.
    """
    name = said.strip().lower()
    if not name.isascii():
        name = in_ascii(name)
    return name.removesuffix(".").removeprefix(WWW)


def is_word(name: str) -> bool:
    """Tells whether this could be a host or another word, of at most NAME_CHARS_MAX; as `site_name` gives it."""
    return len(name) <= NAME_CHARS_MAX and _word(name) is not None and not holds_server_key(name)


def holds_server_key(text: str) -> bool:
    """Tells whether a server key is in a text, as where somebody gave it in the place of a site: it is a secret."""
    return _server_key(text) is not None


def is_site_name(name: str) -> bool:
    """Tells whether a site may be called so: a word, or an address in brackets; as `site_name` gives it."""
    return is_word(name) or (len(name) <= NAME_CHARS_MAX and _bracketed(name) is not None)


def named_site(said: str, *, every: str = "") -> str:
    """Returns the name of the site that somebody wrote, or `every` where that was said. Raises NoSiteName."""
    if every and said.strip() == every:
        return every
    name = site_name(said)
    if not is_site_name(name):
        raise NoSiteName(f"{said.strip()[:64]!r} can't be the name of a site: use its domain")
    return name


def in_ascii(name: str) -> str:
    """Returns a host as browsers send it: one in another script in punycode, and what is no host as it is."""
    try:
        return URL(f"https://{name}/").hostname or name
    except ValueError:
        return name
