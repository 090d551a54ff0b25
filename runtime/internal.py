"""The tier's internal port: a few GET routes over HTTP/1.1, one answer a connection.

Not aiohttp: the tier's process would load it for this alone, 0.25 s of CPU while its workers
start on the same cores, and 15 MB for as long as it lives.

A web page can't read it by a name of its own: Host is judged (schemas/hosts.py).

Not promised: HTTP beyond what curl, Prometheus and probes say. Bodies are not read.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import socket
from collections.abc import Callable, Mapping
from typing import NamedTuple

from schemas.hosts import Hosts

HEAD_SECONDS_MAX = 5.0
HEAD_BYTES_MAX = 16 << 10  # Prometheus sends 300


class Answer(NamedTuple):
    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


Routes = Mapping[str, Callable[[], Answer]]


async def serve(listener: socket.socket, routes: Routes, *, hosts: Hosts) -> asyncio.Server:
    """Answers on the listening socket until the server is closed."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client that goes away or sends no head costs its own connection only.
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(HEAD_SECONDS_MAX):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_response(head, routes, hosts))
                await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, sock=listener, limit=HEAD_BYTES_MAX)


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
    """The values of all Host headers."""
    fields = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return [value.strip().decode("latin-1") for name, _, value in fields if name.strip().lower() == b"host"]
