"""A process's internal port, asked as curl, Prometheus and nobody in particular would."""

import asyncio
import socket
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from functools import partial

import pytest

from runtime import internal
from runtime.hosts import Hosts
from runtime.internal import Answer, serving


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A server with one route."""
    listener = socket.create_server(("127.0.0.1", 0))
    number = listener.getsockname()[1]
    hosts = Hosts("127.0.0.1", ())
    async with serving([listener], {"/healthz": lambda: Answer(200, b"ok\n")}, hosts=hosts):
        yield number


def ask(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/healthz", (200, b"ok\n")),
        ("GET", "/healthz?verbose=1", (200, b"ok\n")),
        ("HEAD", "/healthz", (200, b"")),
        ("GET", "/", (404, b"not found\n")),
        ("POST", "/healthz", (405, b"GET alone is served here\n")),
    ],
)
async def test_a_route_is_answered(port: int, method: str, path: str, expected: tuple[int, bytes]) -> None:
    """Known routes, with or without a query; all else says what it is."""
    assert await asyncio.to_thread(partial(ask, port, path, method)) == expected


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\r\n", b"GET /healthz HTTP/1.1\r\n", b"x" * 40_000])
async def test_what_is_no_request_ends(port: int, sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that does not end, or is too long, costs one connection for a limited time."""
    monkeypatch.setattr(internal, "HEAD_SECONDS_MAX", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    async with asyncio.timeout(60):
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await reader.readexactly(1)
    writer.close()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:8001\r\n\r\n", 200),
        (b"GET /healthz HTTP/1.1\r\nhOsT:localhost\r\nAccept: */*\r\n\r\n", 200),
        (b"GET /healthz HTTP/1.0\r\n\r\n", 200),
        (b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 403),
        (b"GET /metrics HTTP/1.1\r\nHost: evil.example:8001\r\n\r\n", 403),
        (b"POST /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
    ],
)
async def test_a_web_page_does_not_read_it(port: int, head: bytes, status: int) -> None:
    """A name that was pointed at this machine is refused, whatever is asked."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head)
    async with asyncio.timeout(60):
        assert (await reader.readline()).startswith(b"HTTP/1.1 %d " % status)
    writer.close()
    await writer.wait_closed()
