"""Decides whether a request may come in at all, before anybody asks who looks: its peer, its Host, and which page caused it.

Without a `dashboard_url` every request has to come from loopback. Behind a proxy on this machine, requests of strangers would come from
loopback too, so a request with a header that proxies set is refused, and so is HTTP/1.0, which no browser speaks, but nginx before 1.29.7
does to the server behind it unless it is told otherwise, and so is a request that names a host in its first line, as proxies are asked. With a `dashboard_url` the dashboard is also answered under the host of that URL, through
whatever proxies, and everybody has to log in (dashboard/access/entry.py).

A page of another site may try to use the dashboard from within the user's browser, by a form, a script, or a name of its own that points
here (DNS rebinding). The browser then sends that name in Host, and tells the origin of the page in Origin and Sec-Fetch-Site. A page can't
change these headers. Under a `dashboard_url` a link may lead here from anywhere, as from a mail: it opens the page, in no frame, and no data.

The Stats API asks for a key, and other sites may use it from a browser (CORS). For it, neither Origin nor Sec-Fetch-Site is checked, but
all the rest is.

A program that shows a key for the metrics may name the dashboard as it likes, once there is a `dashboard_url`: Prometheus knows it by its
name in an inner network. Such a request is answered for its key, and for nothing else that it says, so the name that a page
chose would open nothing (docs/decisions/0060-prometheus-and-the-dashboard.md).

Not promised: protection against programs on this machine. They can send any header. One that hands on requests of strangers without a sign
is such a program: `socat`, or an nginx from 1.29.7 on with `proxy_pass` alone. Whoever runs one sets a `dashboard_url` or adds a user first.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from runtime.hosts import SHOWN_CHARACTERS, is_loopback, public_origin

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
    "X-Original-URL",
    "X-Scheme",
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
METRICS = "/metrics"  # of processes; below it, those of sites
WRITE_HEADER = "X-Forebay"  # a form can't set it, and a script of another site needs our permission (CORS) first
FORM = "application/x-www-form-urlencoded"
OPENED_BY = "forebay user add NAME --role admin, and FOREBAY_DASHBOARD_URL, open it to others (docs/dashboard.md)"


class Headers(Protocol):
    """Reads the headers of a request, whatever the case of their names."""

    def getall(self, name: str, default: list[str], /) -> list[str]:
        """Returns all values of a header."""

    def keys(self) -> Iterable[str]:
        """Returns the names of all headers."""


class Asked(NamedTuple):
    """Holds what is judged of a request. `peer` is the address of the other end, `version` that of HTTP, `target` what is asked for as it was written."""

    peer: str
    path: str
    method: str
    headers: Headers
    version: tuple[int, int] = (1, 1)
    target: str = "/"


class Refusal(NamedTuple):
    """Holds why a request is not answered: a word for the metric, a sentence for the client, and the HTTP status."""

    why: str
    sentence: str
    status: int = 403


class Door:
    """Refuses requests. `forms` are the paths that take a form, which has a token of its own.

    Raises ValueError for a `dashboard_url` that is no address of a host alone.
    """

    def __init__(self, dashboard_url: str = "", forms: Collection[str] = ()) -> None:
        self._origin, self._host = public_origin(dashboard_url) if dashboard_url else ("", "")
        self._forms = frozenset(forms)

    @property
    def is_public(self) -> bool:
        """Tells whether others than this machine are answered."""
        return bool(self._origin)

    def refusal(self, asked: Asked) -> Refusal | None:
        """Returns why a request is not answered, or None if it is."""
        if self.is_public and _is_keyed(asked):
            return None
        hosts = asked.headers.getall("Host", [])
        refused = None if self.is_public else _from_elsewhere(asked)
        refused = refused or self._unknown_host(hosts)
        if refused is None and not self.is_public:
            refused = _through_a_proxy(asked)
        if refused is not None or asked.path.startswith(STATS_API):
            return refused
        return self._cross_origin(asked, hosts[0].strip()) or self._unsafe(asked)

    def _unknown_host(self, hosts: list[str]) -> Refusal | None:
        if len(hosts) == 1 and (is_loopback(hosts[0].strip()) or self._is_ours(hosts[0].strip())):
            return None
        shown = ", ".join(hosts)[:SHOWN_CHARACTERS]
        others = f" and {self._host}" if self.is_public else " alone"
        return Refusal(
            "host", f"The dashboard answers to localhost, 127.0.0.0/8 and [::1]{others}, not to the host {shown!r}."
        )

    def _is_ours(self, host: str) -> bool:
        """Tells whether a Host is that of the `dashboard_url`, on whatever port: a proxy may listen on one and say another."""
        name, colon, port = host.rpartition(":")
        if not colon or not (port.isascii() and port.isdecimal() and len(port) <= 5):
            name = host
        return self.is_public and name.lower() == self._host

    def _cross_origin(self, asked: Asked, host: str) -> Refusal | None:
        """Returns why a request that another site may have caused is refused."""
        for said in asked.headers.getall("Sec-Fetch-Site", []):
            if said.strip().lower() not in OURS and not (self.is_public and _is_link(asked)):
                return Refusal(
                    "site", "Another page asked for this. Open the dashboard by typing its address, or from a bookmark."
                )
        ours = [self._origin] if self.is_public else []
        ours += [f"http://{host.lower()}"] if is_loopback(host) else []
        for origin in asked.headers.getall("Origin", []):
            if origin.strip().lower() not in ours:
                return Refusal("origin", f"The dashboard does not answer pages of {origin[:SHOWN_CHARACTERS]!r}.")
        return None

    def _unsafe(self, asked: Asked) -> Refusal | None:
        """Returns why a request that may change something is refused: a form of another site could have sent it."""
        if asked.method in {"GET", "HEAD", "OPTIONS"}:
            return None
        kind = asked.headers.getall("Content-Type", [""])[0].partition(";")[0].strip().lower()
        if asked.path in self._forms:
            return None if kind == FORM else Refusal("type", f"Send this as {FORM}.", 415)
        if kind != "application/json":
            return Refusal("type", "Send this as application/json.", 415)
        if asked.method != "POST" and asked.headers.getall(WRITE_HEADER, [""])[0] != "1":
            return Refusal("write", f"A request that changes something needs the header {WRITE_HEADER}: 1.")
        return None


def is_local(asked: Asked) -> bool:
    """Tells whether a request comes from somebody on this machine: by peer and Host, and through no proxy."""
    hosts = asked.headers.getall("Host", [])
    is_here = len(hosts) == 1 and is_loopback(hosts[0].strip())
    return is_here and _from_elsewhere(asked) is None and _through_a_proxy(asked) is None


def is_public(url: str) -> bool:
    """Tells whether a URL is set and is not one of this machine's loopback."""
    return bool(url) and not is_loopback(urlsplit(url if "//" in url else f"//{url}").netloc.rpartition("@")[2])


def _is_keyed(asked: Asked) -> bool:
    """Tells whether a request is for the metrics and shows a key, which alone decides what it gets (dashboard/access/entry.py)."""
    is_for_metrics = asked.path == METRICS or asked.path.startswith(f"{METRICS}/")
    return is_for_metrics and bool(asked.headers.getall("Authorization", []))


def _from_elsewhere(asked: Asked) -> Refusal | None:
    if _is_on_loopback(asked.peer):
        return None
    return Refusal("peer", f"The dashboard answers to this machine alone: {OPENED_BY}.")


def _through_a_proxy(asked: Asked) -> Refusal | None:
    if proxied := _forwarding(asked.headers):
        sign = f"has the header {proxied}"
    elif asked.version < (1, 1):
        sign = "is HTTP/1.0"
    elif not asked.target.startswith("/"):  # http://HOST/PATH, whose host counts and not that of Host (RFC 9112, 3.2.2)
        sign = "names a host in its first line"
    else:
        return None
    return Refusal("proxy", f"The dashboard answers no proxy: the request {sign}. {OPENED_BY}.")


def _forwarding(headers: Headers) -> str:
    """Returns the name of a header that shows a proxy, or ""."""
    listed = {name.lower() for name in FORWARDING}
    for name in headers.keys():  # noqa: SIM118 - it is no dict
        if name.lower() in listed or name.lower().startswith(FORWARDING_PREFIXES):
            return name[:SHOWN_CHARACTERS]
    return ""


def _is_link(asked: Asked) -> bool:
    """Tells whether a browser opens a page of ours in a tab, as after a click on a link: no frame, no script, no data."""
    said = [asked.headers.getall(name, [""]) for name in ("Sec-Fetch-Mode", "Sec-Fetch-Dest")]
    is_page = asked.method == "GET" and not asked.path.startswith("/api/")
    return is_page and said == [["navigate"], ["document"]]


def _is_on_loopback(peer: str) -> bool:
    try:
        return ipaddress.ip_address(peer.partition("%")[0]).is_loopback
    except ValueError:
        return False
