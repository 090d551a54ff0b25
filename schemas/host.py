"""Gives a host, and the name of a site, the one form in which Forebay compares and stores it.

The form is that of the WHATWG URL standard, which is what browsers send: lower case, other scripts than ASCII in
punycode (UTS 46), an IPv4 address in four decimal numbers, an IPv6 address in brackets and shortened. On top of it a
final dot is left out, for `example.com.` and `example.com` are the same page to everybody who asks.

Not promised: that a host exists, or that it may be registered.
"""

from __future__ import annotations

from ada_url import URL

WWW = "www."


def site_name(said: str) -> str:
    """Returns a site's name, or a host, as sites are compared: without case, blanks, `www.` and a final dot.

    A name in another script becomes punycode, because that is how browsers send it; one that is no host at all stays
    as it is, in lower case.
    """
    name = said.strip().lower()
    if not name.isascii():
        name = _ascii(name)
    return name.removesuffix(".").removeprefix(WWW)


def _ascii(name: str) -> str:
    try:
        return URL(f"https://{name}/").hostname or name
    except ValueError:
        return name
