"""Judges the Host of a request to a port without a password.

A web page whose name its owner points at this machine (DNS rebinding) is of the same origin as the port, and may read
what it answers. A browser shows that name in Host, and a page can't change it. So names are refused unless they are
known; an address in Host can't be such a name, and a request without Host does not come from a browser.

Not promised: protection against programs. They write into Host what they like.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

ANY = "*"
LOOPBACK = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?", re.IGNORECASE | re.ASCII)
SHOWN_CHARACTERS = 80


def is_loopback(host: str) -> bool:
    """Returns whether a Host names this machine's loopback, with or without a port."""
    return LOOPBACK.fullmatch(host) is not None


def public_origin(url: str) -> tuple[str, str]:
    """Returns the origin of a URL as browsers write it, and its host. Raises ValueError if it is more, or less."""
    parts = urlsplit(url.strip().lower())
    is_address = parts.scheme in {"http", "https"} and parts.hostname and parts.path in {"", "/"}
    if not is_address or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f"{url!r} is no address of a host alone: write https://stats.example.com")
    name = str(parts.hostname).encode("idna").decode()  # as browsers send it
    host = f"[{name}]" if ":" in name else name
    usual = {"http": 80, "https": 443}[parts.scheme]
    port = f":{parts.port}" if parts.port not in {None, usual} else ""
    return f"{parts.scheme}://{host}{port}", host


class Hosts:
    """Knows to which Hosts a port on this address answers: loopback's and these names, and off loopback any address."""

    def __init__(self, address: str, names: Sequence[str]) -> None:
        self._is_on_loopback = is_loopback(f"[{address}]" if ":" in address else address)
        self._names = frozenset(name.lower() for name in names)

    def refusal(self, given: Sequence[str]) -> str | None:
        """Returns why a request with these Host headers is not answered, or None if it is."""
        if not given or (len(given) == 1 and self._is_known(given[0].strip())):
            return None
        shown = ", ".join(given)[:SHOWN_CHARACTERS]
        known = "localhost, 127.0.0.0/8, [::1]" if self._is_on_loopback else "addresses"
        return f"this port answers to {known} and the names of internal_hosts, not to the host {shown!r}\n"

    def _is_known(self, host: str) -> bool:
        name = re.sub(r":\d{1,5}$", "", host).lower()
        if is_loopback(host) or ANY in self._names or name in self._names:
            return True
        return not self._is_on_loopback and _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name[1:-1] if name.startswith("[") and name.endswith("]") else name)
    except ValueError:
        return False
    return True
