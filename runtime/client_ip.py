"""Finds the address that a request came from: the peer's, or the one that a trusted proxy names.

A proxy is trusted when its address is in a setting. Then the first of these fields that is present
decides; if it makes no sense, the peer's address counts:

    CF-Connecting-IP   the address
    X-Forwarded-For    from right to left past every trusted address; the first other one, or
                       the leftmost when all are trusted
    Forwarded          the same with its `for` parameters (RFC 7239)

So a trusted proxy must set these headers itself, or remove what its client sent: one that
passes CF-Connecting-IP through lets anyone choose an address.

IPv4 in IPv6 (::ffff:192.0.2.1) is IPv4; zones and ports are dropped. What is hashed of an IPv6
address is its /64: privacy extensions change the lower half several times a day, and a site's
visitors should not multiply with it.

Not promised: that an address belongs to one person. Addresses stay in memory, in a bounded cache (I8).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import NamedTuple

import msgspec

log = logging.getLogger(__name__)
ADDRESSES_CACHED = 16_384  # 300 B each; parsing one costs 0.4 to 1.3 us, a hit 0.1
COMPATIBLE = bytes(12)  # how an IPv6 address begins that ends with an IPv4 address, in a form that is out of use
MAPPED = bytes(10) + b"\xff\xff"  # how one begins that stands for an IPv4 address
NETWORK_BYTES = 8  # of an IPv6 address, its /64
HOPS_MAX = 32  # a header field of 8 KiB holds a thousand; nobody has so many proxies
# One parameter of a Forwarded field, or the comma between two of its elements (RFC 7239, 4; RFC 9110, 5.6). A quoted
# value may hold commas and semicolons, and escapes with a backslash. What fits neither makes its element say nothing.
_parameter = re.compile(
    r"""[ \t]*(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s",;]*))|([^",;]*))[ \t]*([,;]|\Z)"""
).match
_escaped = re.compile(r"\\(.)")


class Address(NamedTuple):
    """Holds an address as `text` in canonical form, and as much of it as is `hashed` into the visitor; both are "" if unknown."""

    text: str
    hashed: str


class Client(msgspec.Struct, frozen=True, gc=False):
    """Holds a client's address. `is_proxied` means that the peer is trusted, so that headers about the client are believed."""

    address: Address
    is_proxied: bool


UNKNOWN = Address("", "")


class ClientAddresses:
    """Finds a request's client address."""

    def __init__(self, trusted: Sequence[str] = ()) -> None:
        """Takes addresses and networks like 10.0.0.0/8 as `trusted`. Raises ValueError for anything else."""
        self._trusted = tuple(ip_network(network.strip(), strict=False) for network in trusted)
        self._is_warned = False
        self._is_trusted = lru_cache(ADDRESSES_CACHED)(self._in_networks)

    def client(self, peer: str, fields: Mapping[bytes, bytes]) -> Client:
        address = parsed(peer) or UNKNOWN
        if not self._trusted or not self._is_trusted(address.text):
            # A server with a key of its own says there of which visitor it speaks, and is no proxy.
            is_proxy = b"x-forwarded-for" in fields and b"authorization" not in fields
            if not self._is_warned and is_proxy and _is_near(address.text):
                self._warn()
            return Client(address, False)
        return Client(self._forwarded(fields) or address, True)

    def _warn(self) -> None:
        """Warns once. It does not say which peer it was, because no address is ever logged."""
        self._is_warned = True
        log.warning(
            "a peer on this network sends X-Forwarded-For and is not in trusted_proxies: if it is your proxy, all its"
            " visitors are taken for one"
        )

    def _forwarded(self, fields: Mapping[bytes, bytes]) -> Address | None:
        if (said := fields.get(b"cf-connecting-ip")) is not None:
            return parsed(said.decode("latin-1"))
        if (said := fields.get(b"x-forwarded-for")) is not None:
            # An empty element of a list says nothing (RFC 9110, 5.6.1.2).
            return self._first_untrusted(hop for hop in reversed(said.decode("latin-1").split(",")) if hop.strip())
        if (said := fields.get(b"forwarded")) is not None:
            return self._first_untrusted(reversed(_hops(said.decode("latin-1"))))
        return None

    def _first_untrusted(self, hops: Iterable[str]) -> Address | None:
        """Returns the first address that is not trusted, or None if a hop that matters makes no sense or there are too many."""
        address: Address | None = None
        for count, hop in enumerate(hops):
            address = parsed(hop) if count < HOPS_MAX else None
            if address is None or not self._is_trusted(address.text):
                return address
        return address

    def _in_networks(self, text: str) -> bool:
        if not text:
            return False
        address = ip_address(text)
        return any(address.version == network.version and _holds(network, address) for network in self._trusted)


@lru_cache(ADDRESSES_CACHED)
def _is_near(text: str) -> bool:
    """Returns whether it is an address of this machine or of a private network."""
    return bool(text) and not ip_address(text).is_global


def _holds(network: IPv4Network | IPv6Network, address: IPv4Address | IPv6Address) -> bool:
    return address in network


def _hops(forwarded: str) -> list[str]:
    """Returns the `for` of each element of a Forwarded field, "" where an element has none or can't be read.

    Empty elements are left out (RFC 9110, 5.6.1.2).
    """
    hops = [""]
    at = 0
    is_empty = True
    while at < len(forwarded):
        found = _parameter(forwarded, at)
        if found is None:  # a quotation that does not end: nobody knows which hops it swallowed
            return [""]
        name, quoted, token, unread, end = found.groups("")
        is_empty = is_empty and not (name or unread.strip() or end == ";")
        if name.lower() == "for":
            hops[-1] = _escaped.sub(r"\1", quoted) or token
        if end == "," and not is_empty:
            hops.append("")
            is_empty = True
        at = found.end()
    return hops[:-1] if is_empty else hops


@lru_cache(ADDRESSES_CACHED)
def parsed(said: str) -> Address | None:
    """Returns the address in a text that may have brackets, a port or a zone; None if there is no address in it.

    The C library reads and writes the addresses, because that takes 0.4 us (IPv6: 1.3) where `ipaddress` takes 2.8 (11).
    """
    text = said.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    text = text.partition("%")[0]
    try:
        if ":" not in text:
            inet_pton(AF_INET, text)  # it takes nothing but the canonical form
            return Address(text, text)
        packed = inet_pton(AF_INET6, text)
    except (OSError, ValueError):
        return None
    if packed.startswith(MAPPED):
        text = inet_ntop(AF_INET, packed[len(MAPPED) :])
        return Address(text, text)
    network = inet_ntop(AF_INET6, packed[:NETWORK_BYTES] + bytes(NETWORK_BYTES))
    # The C library writes ::102:304 as ::1.2.3.4, which nobody but it does.
    text = str(IPv6Address(packed)) if packed.startswith(COMPATIBLE) else inet_ntop(AF_INET6, packed)
    return Address(text, f"{network}/64")
