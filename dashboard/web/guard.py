"""Decides who is answered: programs and browsers on this machine, but no page of another site in those browsers.

There is no login, so every request has to come from loopback. Behind a proxy on this machine, requests of strangers would come from
loopback too, so a request with a header that proxies set is refused. A page of another site may try to read the dashboard from within
the user's browser, by a form, a script, or a name of its own that points here (DNS rebinding). The browser then sends that name in
Host, and tells the origin of the page in Origin and Sec-Fetch-Site. A page can't change these headers.

The Stats API asks for a key, and other sites may use it from a browser (CORS). For it, neither Origin nor Sec-Fetch-Site is checked, but
all the rest is.

Not promised: protection against programs on this machine. They can send any header.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from runtime.hosts import SHOWN_CHARACTERS, is_loopback

# Headers that a proxy adds to a request.
FORWARDING = (
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Server",
    "X-Real-IP",
    "X-Client-IP",
    "X-ProxyUser-IP",
    "Proxy-Client-IP",
    "WL-Proxy-Client-IP",
    "X-Remote-IP",
    "X-Remote-Addr",
    "X-Cluster-Client-IP",
    "X-Original-Forwarded-For",
    "X-Original-Host",
    "Via",
    "True-Client-IP",
    "Fastly-Client-IP",
    "Fly-Client-IP",
    "CDN-Loop",
    "X-Envoy-External-Address",
    "X-Amzn-Trace-Id",
    "X-Appengine-User-IP",
    "X-Azure-ClientIP",
)
FORWARDING_PREFIXES = ("forwarded", "x-forwarded", "tailscale-", "cf-")
OURS = ("same-origin", "none")  # the page itself; an address that was typed, or a bookmark
STATS_API = ("/api/v1/stats/", "/api/v1/sites", "/api/v2/")
WRITE_HEADER = "X-Forebay"  # a form can't set it, and a script of another site needs our permission (CORS) first


class Headers(Protocol):
    """Reads the headers of a request, whatever the case of their names."""

    def getall(self, name: str, default: list[str], /) -> list[str]:
        """Returns all values of a header."""

    def keys(self) -> Iterable[str]:
        """Returns the names of all headers."""


class Refusal(NamedTuple):
    """Holds why a request is not answered: a word for the metric, a sentence for the client, and the HTTP status."""

    why: str
    sentence: str
    status: int = 403


def refusal(*, peer: str, path: str, method: str, headers: Headers) -> Refusal | None:
    """Returns why a request is not answered, or None if it is. `peer` is the address of the other end."""
    if not _is_on_loopback(peer):
        return Refusal("peer", "The dashboard has no login yet, so it answers to this machine alone.")
    hosts = headers.getall("Host", [])
    if len(hosts) != 1 or not is_loopback(hosts[0].strip()):
        shown = ", ".join(hosts)[:SHOWN_CHARACTERS]
        return Refusal(
            "host", f"The dashboard answers to localhost, 127.0.0.0/8 and [::1] alone, not to the host {shown!r}."
        )
    if proxied := _forwarding(headers):
        return Refusal(
            "proxy",
            f"The dashboard has no login yet, so it answers no proxy: the request has the header {proxied}.",
        )
    if path.startswith(STATS_API):
        return None
    return _cross_origin(headers, hosts[0].strip()) or _unsafe(method, headers)


def _forwarding(headers: Headers) -> str:
    """Returns the name of a header that shows a proxy, or ""."""
    listed = {name.lower() for name in FORWARDING}
    for name in headers.keys():  # noqa: SIM118 - it is no dict
        if name.lower() in listed or name.lower().startswith(FORWARDING_PREFIXES):
            return name[:SHOWN_CHARACTERS]
    return ""


def _cross_origin(headers: Headers, host: str) -> Refusal | None:
    """Returns why a request that another site may have caused is refused."""
    for said in headers.getall("Sec-Fetch-Site", []):
        if said.strip().lower() not in OURS:
            return Refusal(
                "site", "Another page asked for this. Open the dashboard by typing its address, or from a bookmark."
            )
    for origin in headers.getall("Origin", []):
        if origin.strip().lower() != f"http://{host.lower()}":
            return Refusal("origin", f"The dashboard does not answer pages of {origin[:SHOWN_CHARACTERS]!r}.")
    return None


def _unsafe(method: str, headers: Headers) -> Refusal | None:
    """Returns why a request that may change something is refused: a form of another site could have sent it."""
    if method in {"GET", "HEAD", "OPTIONS"}:
        return None
    kind = headers.getall("Content-Type", [""])[0].partition(";")[0].strip().lower()
    if kind != "application/json":
        return Refusal("type", "Send this as application/json.", 415)
    if method != "POST" and headers.getall(WRITE_HEADER, [""])[0] != "1":
        return Refusal("write", f"A request that changes something needs the header {WRITE_HEADER}: 1.")
    return None


def _is_on_loopback(peer: str) -> bool:
    try:
        return ipaddress.ip_address(peer.partition("%")[0]).is_loopback
    except ValueError:
        return False
