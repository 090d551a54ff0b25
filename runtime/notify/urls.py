"""Reads the URLs of servers that messages go through, without ever showing one: there are passwords in them."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit


def server_of(url: str, ports: Mapping[str, int], *, has_path: bool) -> tuple[SplitResult, str, int]:
    """Returns the parts of a URL, its host and its port. `ports` has the usual port of each scheme that is taken.

    Raises ValueError, whose text says nothing, for what is no such URL. One that should have no path is refused with one,
    because that is a part of a password in which `/` is not written %2F.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # its text repeats a part of the URL
        raise ValueError from None
    if not has_path and (parts.path.strip("/") or parts.query or parts.fragment):
        raise ValueError
    if parts.scheme not in ports or not host or port == 0:
        raise ValueError
    return parts, host, port or ports[parts.scheme]
