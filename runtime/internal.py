"""Serves a process's internal port: a few GET routes over HTTP/1.1, one answer a connection.

Every tier has one, for Prometheus (/metrics) and for probes (/healthz, /readyz). It is written here and is not aiohttp,
because a process would load that for these routes alone: 0.25 s of CPU while others start on the same cores, and 15 MB
for as long as it lives.

A web page can't read it by a name of its own, because the Host header is judged (runtime/hosts.py).

Not promised: HTTP beyond what curl, Prometheus and probes say. Bodies are not read.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import NamedTuple

from runtime.hosts import Hosts

HEAD_SECONDS_MAX = 5.0
HEAD_BYTES_MAX = 16 << 10  # Prometheus sends 300


class Answer(NamedTuple):
    """Holds what a route answers."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


Routes = Mapping[str, Callable[[], Answer]]


@contextlib.asynccontextmanager
async def serving(sockets: Sequence[socket.socket], routes: Routes, *, hosts: Hosts) -> AsyncIterator[None]:
    """Answers on bound sockets for as long as the body runs, and closes them behind it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client that goes away or sends no head costs its own connection only.
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(HEAD_SECONDS_MAX):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_response(head, routes, hosts))
                await writer.drain()
        writer.close()

    async with contextlib.AsyncExitStack() as servers:
        for one in sockets:
            server = await asyncio.start_server(answer, sock=one, limit=HEAD_BYTES_MAX)
            servers.callback(server.close)
        yield


def _response(head: bytes, routes: Routes, hosts: Hosts) -> bytes:
    method, _, rest = head.partition(b" ")
    route = routes.get(rest.split(b" ", 1)[0].partition(b"?")[0].decode("latin-1"))
    if refusal := hosts.refusal(_hosts(head)):
        answer = Answer(403, refusal.encode())
    elif method not in {b"GET", b"HEAD"}:
        answer = Answer(405, b"GET alone is served here\n")
    else:
        answer = route() if route is not None else Answer(404, b"not found\n")
    lines = (
        f"HTTP/1.1 {answer.status} {http.HTTPStatus(answer.status).phrase}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
        "Connection: close",
        "\r\n",
    )
    return "\r\n".join(lines).encode() + (b"" if method == b"HEAD" else answer.body)


def _hosts(head: bytes) -> list[str]:
    """Returns the values of all Host headers."""
    fields = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return [value.strip().decode("latin-1") for name, _, value in fields if name.strip().lower() == b"host"]
