"""Reads the URL of Redis: one server, the master that Sentinels name, or a cluster.

    redis://[user:password@]host[:port][/db]                 one server
    unix://[user:password@]/path[?db=N]                      one server, through a socket
    redis+sentinel://[…@]host[:port],host[:port]/name[/db]   the master that these Sentinels call by this name
    redis+cluster://[…@]host[:port],host[:port]              a cluster; these of its nodes are asked for the others

`rediss` in place of `redis` means TLS. User and password are those of the servers; for Sentinels that want one, the URL
has `?sentinel_username=…&sentinel_password=…`. Files for TLS and everything else that redis-py reads may follow behind the `?`
too, and holds for every connection.

A URL is the whole description of a Redis, so that it can be handed from process to process.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple, Self
from urllib.parse import parse_qsl, quote, urlencode

FORMS = (
    "redis://host:port/db, rediss://…, unix:///path, redis+sentinel://host:port,host:port/name"
    " or redis+cluster://host:port,host:port"
)
PORT, SENTINEL_PORT = 6379, 26379
CA, CERT, KEY = "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"
SENTINEL_USER, SENTINEL_PASSWORD = "sentinel_username", "sentinel_password"
SENTINELS_OWN = frozenset((SENTINEL_USER, SENTINEL_PASSWORD))
# What redis-py makes of a URL's parameters and an operator may want. A misspelt one would otherwise be a TypeError later.
PARAMETERS = SENTINELS_OWN | {
    "db", "username", "password", "client_name", "protocol", "socket_keepalive", "socket_timeout", "socket_connect_timeout",
    "health_check_interval", "max_connections", "retry_on_timeout", CA, CERT, KEY, "ssl_ca_path", "ssl_password",
    "ssl_cert_reqs", "ssl_check_hostname",
}  # fmt: skip


_url_parts = re.compile(r"(?:([A-Za-z0-9+.-]*):(?://([^/?#]*))?)?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)


class _Parts(NamedTuple):
    scheme: str
    netloc: str
    path: str
    query: str
    fragment: str


class Kind(Enum):
    """Says how the server for a key is found."""

    ONE = "one"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


class Node(NamedTuple):
    """Names one server by its address."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Address(NamedTuple):
    """Holds what a URL says. `seeds` are the Sentinels, or some nodes of the cluster; empty for one server."""

    kind: Kind
    url: str
    seeds: tuple[Node, ...] = ()
    master: str = ""  # the name that Sentinels know
    db: int = 0

    @classmethod
    def parse(cls, url: str) -> Self:
        """Returns what a URL says. Raises ValueError, with what is wrong; its text has no password."""
        parts = _split(url)
        scheme, _, kind = parts.scheme.partition("+")
        is_known = parts.scheme == "unix" or (scheme in {"redis", "rediss"} and kind in {"", "sentinel", "cluster"})
        if not is_known or (kind == "" and "+" in parts.scheme):
            raise ValueError(f"{parts.scheme or 'no scheme'}: a URL of Redis is {FORMS}")
        _check_parameters(parts.query, is_tls=scheme == "rediss", is_sentinel=kind == "sentinel")
        if parts.fragment:
            raise ValueError("a # in a URL of Redis, as in a password, is written %23")
        if parts.scheme == "unix":
            if not parts.path:
                raise ValueError("unix:// wants the path of a socket: unix:///path")
            return cls(Kind.ONE, url)
        hosts = parts.netloc.rpartition("@")[2]
        if not kind:
            if "," in hosts:
                raise ValueError(
                    f"{scheme}:// is one server; several are {scheme}+cluster:// or {scheme}+sentinel://…/name"
                )
            if hosts:
                [_node(hosts, PORT)]
            _db(parts.path.strip("/"))
            return cls(Kind.ONE, url)
        seeds = tuple(_nodes(hosts, SENTINEL_PORT if kind == "sentinel" else PORT))
        name, _, db = parts.path.strip("/").partition("/")
        if kind == "sentinel":
            if not name:
                raise ValueError(
                    f"{scheme}+sentinel:// wants the name of the master: {scheme}+sentinel://host:port/name"
                )
            return cls(Kind.SENTINEL, url, seeds, name, _db(db))
        if _db(name):
            raise ValueError(f"a cluster has database 0 alone, not {name}")
        return cls(Kind.CLUSTER, url, seeds)

    @property
    def is_tls(self) -> bool:
        """Says whether connections use TLS."""
        return self.url.startswith("rediss")

    def at(self, node: Node) -> str:
        """Returns the URL of one server of this Redis, as redis-py reads it."""
        parts = _split(self.url)
        user = "".join(parts.netloc.rpartition("@")[:2])
        return _url(
            self.is_tls, user, node, self.db, [(k, v) for k, v in parse_qsl(parts.query) if k not in SENTINELS_OWN]
        )

    def at_sentinel(self, node: Node) -> str:
        """Returns the URL of one Sentinel, which has users of its own."""
        said = dict(parse_qsl(_split(self.url).query))
        name, password = (quote(said.pop(one, ""), safe="") for one in (SENTINEL_USER, SENTINEL_PASSWORD))
        user = f"{name}:{password}@" if password else ""
        return _url(
            self.is_tls, user, node, 0, [(k, v) for k, v in said.items() if k not in {"username", "password", "db"}]
        )


def with_files(url: str, *, ca: str, cert: str, key: str) -> str:
    """Returns a URL that also names these files of TLS, "" is none. Raises ValueError where they can't be used."""
    named = [(CA, ca), (CERT, cert), (KEY, key)]
    if not any(path for _, path in named):
        return url
    if not url.startswith("rediss"):
        raise ValueError("redis_ca, redis_cert and redis_cert_key are for TLS: redis_url has to begin with rediss")
    if any("-----BEGIN" in path for _, path in named):
        raise ValueError(
            "redis_ca, redis_cert and redis_cert_key are paths, and one of them holds a certificate or key itself"
        )
    if key and not cert:
        raise ValueError("redis_cert_key is the key of a certificate: redis_cert has to name that")
    more = urlencode([(name, path) for name, path in named if path])
    return f"{url}{'&' if _split(url).query else '?'}{more}"


def files(url: str) -> tuple[str, str, str]:
    """Returns the paths of the CA, the client certificate and its key in a URL; "" for what it does not name."""
    said = dict(parse_qsl(_split(url).query))
    return said.get(CA, ""), said.get(CERT, ""), said.get(KEY, "")


def _split(url: str) -> _Parts:
    """Returns the parts of a URL, whose hosts are a list, as urllib's parser does not allow in every version."""
    found = _url_parts.fullmatch(url)
    assert found is not None, "it matches every text"
    scheme, *others = (part or "" for part in found.groups())
    return _Parts(scheme.lower(), *others)


def _url(is_tls: bool, user: str, node: Node, db: int, query: list[tuple[str, str]]) -> str:
    return f"redis{'s' if is_tls else ''}://{user}{node}/{db}{'?' if query else ''}{urlencode(query)}"


def _check_parameters(query: str, *, is_tls: bool, is_sentinel: bool) -> None:
    for name, _ in parse_qsl(query, keep_blank_values=True):
        if name not in PARAMETERS:
            raise ValueError(f"a URL of Redis has no parameter {name}; it may have {', '.join(sorted(PARAMETERS))}")
        if name.startswith("ssl_") and not is_tls:
            raise ValueError(f"{name} is for TLS: the URL has to begin with rediss")
        if name in SENTINELS_OWN and not is_sentinel:
            raise ValueError(f"{name} is for redis+sentinel://")


def _nodes(hosts: str, port: int) -> Iterator[Node]:
    for host in hosts.split(","):
        yield _node(host, port)


def _node(text: str, port: int) -> Node:
    """Returns host and port. An IPv6 address is in brackets."""
    bare, bracket, rest = text.partition("]")
    host, colon, digits = (bare[1:], *rest.partition(":")[1:]) if bracket else text.partition(":")
    is_odd = (bracket and (not bare.startswith("[") or rest.partition(":")[0])) or (colon and not digits.isdecimal())
    number = int(digits) if digits.isdecimal() else port
    if not host or is_odd or not 0 < number < 65_536:
        raise ValueError(f"{text or 'nothing'} is no host:port of a Redis")
    return Node(host, number)


def _db(text: str) -> int:
    if text and not text.isdecimal():
        raise ValueError(f"{text} is no number of a database")
    return int(text or 0)
