"""Says what a place is: a country, and where a database has them a region and a city.

A country is a code of ISO 3166-1 that is assigned to a country, and XK, which everybody uses for Kosovo. What
registries and databases say beside these (EU, AP, ZZ, `??`) is no country, and so unknown. A region is a code of
ISO 3166-2, such as DE-BY, or its English name where the database has no code. A city is its English name.

What is unknown is "". Nothing is known of addresses of this machine and of private networks, whatever a database says.

Not promised: that a place is where a person is. It is where the network says that an address is used, or was given to.
"""

from __future__ import annotations

import time
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import NamedTuple, Protocol

# How metrics name the sources, the best one first.
DATABASE, RANGES, REGISTRIES, NONE = SOURCES = ("database", "tor-geoipdb", "iptocc", "none")
TEXT_CHARS_MAX = 100  # of a region or a city; the longest names have 60
# Addresses that are in use for years, on every continent. A file without a country for any of them is not a
# database of countries. The last two lines are what MaxMind's own test files know, and networks that RFC 5737 and RFC 3849
# reserve for examples, so that a small file can be tried.
PROBES = (
    "8.8.8.8", "1.1.1.1", "9.9.9.9", "208.67.222.222", "2001:4860:4860::8888",  # public resolvers
    "193.0.6.139", "199.5.26.46", "202.12.29.175", "200.3.14.10", "196.216.2.1", "2001:67c:2e8:22::c100:68b",  # registries
    "129.132.19.216", "18.7.29.232", "133.11.93.0", "143.107.254.11", "196.21.79.50", "130.102.131.70",  # universities
    "166.111.4.100", "103.27.9.44", "188.44.50.103",
    "81.2.69.160", "89.160.20.112", "216.160.83.56", "175.16.199.0", "2001:218::",
    "192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1",
)  # fmt: skip
MAPPED = bytes(10) + b"\xff\xff"  # IPv4 in IPv6
NAT64 = bytes.fromhex("0064ff9b") + bytes(8)  # RFC 6052
SIX_TO_FOUR = bytes.fromhex("2002")  # RFC 3056: the IPv4 address follows
GIVE_WAY_SECONDS = 50e-6
NETWORK_BYTES = 8  # of an IPv6 address, its /64


class Where(NamedTuple):
    """Holds a place; "" stands for what is unknown."""

    country: str
    region: str
    city: str


NOWHERE = Where("", "", "")


class Source(Protocol):
    """Knows where addresses are."""

    @property
    def name(self) -> str:
        """Returns how metrics and logs name this kind of source."""
        ...

    @property
    def edition(self) -> str:
        """Returns what it read, and of when, for the log."""
        ...

    def of(self, address: str) -> Where:
        """Returns where a public address is. Raises nothing."""
        ...


class Unusable(ValueError):
    """Says in one sentence why a source can't be used."""


def name_of(said: object) -> str:
    """Returns the name that a source gave, in a form that a row can hold; "" for what is not a text."""
    if not isinstance(said, str):
        return ""
    return "".join([one for one in said if one.isprintable()])[:TEXT_CHARS_MAX].strip()


def located(text: str) -> str:
    """Returns the address by which a client's is looked up; "" if it can't be anywhere.

    Of IPv6 it is the /64. An IPv4 address that IPv6 carries (mapped, 6to4, NAT64) is looked up itself.
    """
    if not text:
        return ""
    packed = inet_pton(AF_INET6 if ":" in text else AF_INET, text)
    if packed.startswith(SIX_TO_FOUR):
        packed = packed[2:6]
    elif packed.startswith((MAPPED, NAT64)):
        packed = packed[12:]
    if len(packed) == 4:
        return "" if _is_near(packed[0], packed[1]) else inet_ntop(AF_INET, packed)
    # 2000::/3 is all that was ever given to anybody.
    return inet_ntop(AF_INET6, packed[:NETWORK_BYTES] + bytes(NETWORK_BYTES)) if packed[0] >> 5 == 1 else ""


def _is_near(first: int, second: int) -> bool:
    """Returns whether an IPv4 address that begins so is of this machine, of a private network, or reserved."""
    return (
        first in {0, 10, 127}
        or first >= 224
        or (first == 172 and 16 <= second < 32)
        or (first == 192 and second == 168)
        or (first == 169 and second == 254)
        or (first == 100 and 64 <= second < 128)
    )


def give_way() -> None:
    """Lets the thread that answers requests have the interpreter; else it would get it every 5 ms. Takes 0.1 ms."""
    time.sleep(GIVE_WAY_SECONDS)


def require_probes(source: Source, what: str) -> None:
    """Raises Unusable if a source knows no country for any of PROBES; `what` names the file, and says what it holds."""
    if not any(source.of(located(address)).country for address in PROBES):
        raise Unusable(f"{what} has no country for any of {len(PROBES)} well-known addresses such as {PROBES[0]}")
