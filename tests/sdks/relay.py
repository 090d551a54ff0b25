"""Stands between clients and ingest: each visit has a port of its own, behind which requests are passed on, refused or lost.

Whatever is said in ingest's stead has the headers by which a browser lets a page read it, as a proxy's own answers often have
not: a client that can't read an answer is tested by `CUT`. Connections are used once, because Chromium itself sends again
what was lost on a connection that it used before.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from time import monotonic

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, web
from yarl import URL

SILENCE_SECONDS = 25.0  # then the connection is cut all the same
NOT_PASSED_ON = {"connection", "content-length", "keep-alive", "transfer-encoding"}
COMMON = ("user-agent", "accept", "accept-encoding", "content-type")
BODY_BYTES_MAX = 4 << 20


class Way(Enum):
    """Names what befalls a request that carries events."""

    REFUSE = "refuse"  # it is not passed on, and answered with a status
    LOSE = "lose"  # it is not passed on, and the connection is cut instead of an answer
    SAY = "say"  # it is passed on, and answered with a status that ingest did not say
    CUT = "cut"  # it is passed on, and the connection is cut instead of the answer
    SILENT = "silent"  # it is passed on, and never answered
    KILL = "kill"  # it is passed on while ingest is killed


@dataclass(frozen=True)
class Fault:
    way: Way
    status: int = 0


@dataclass
class Sent:
    """Holds a request that a client sent, and what it was told: 0 for nothing."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int = 0
    answer: bytes = b""
    is_refused: bool = False  # it was never passed on


@dataclass(eq=False)
class Channel:
    """Holds a visit's port, and what came through it."""

    port: int
    faults: deque[Fault]
    carries: Callable[[str, str], bool]  # whether a request of this method and path carries events
    sent: list[Sent] = field(default_factory=list)
    open: int = 0
    ended_at: float = field(default_factory=monotonic)  # when the last request did, or the visit began

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def quiet_seconds(self) -> float:
        """Returns how long no request has been under way."""
        return 0.0 if self.open else monotonic() - self.ended_at

    def events(self) -> list[Sent]:
        """Returns the requests that carried events."""
        return [one for one in self.sent if self.carries(one.method, one.path)]


def is_post(method: str, _path: str) -> bool:
    return method == "POST"


class Relay:
    """Serves all channels. `target` says where ingest is; `strike` kills it, and returns when that is done."""

    def __init__(self, target: Callable[[], str], strike: Callable[[], Awaitable[None]]) -> None:
        self._target = target
        self._strike = strike
        self._channels: dict[int, Channel] = {}
        self._sites: dict[int, web.SockSite] = {}
        self._server = web.Server(self._serve, auto_decompress=False, access_log=None)
        self._runner = web.ServerRunner(self._server, shutdown_timeout=1)
        self._session: ClientSession | None = None

    async def start(self) -> None:
        await self._runner.setup()
        self._session = ClientSession(
            auto_decompress=False, cookie_jar=DummyCookieJar(), timeout=ClientTimeout(60), skip_auto_headers=COMMON
        )
        # By itself aiohttp sends a GET again whose connection ended, which is not its client's doing.
        self._session._retry_connection = False

    async def close(self) -> None:
        await self._runner.cleanup()
        assert self._session is not None
        await self._session.close()

    async def open(self, faults: tuple[Fault, ...], carries: Callable[[str, str], bool] = is_post) -> Channel:
        """Opens a port, behind which these faults befall the first requests that carry events."""
        listener = socket.create_server(("127.0.0.1", 0))
        channel = Channel(listener.getsockname()[1], deque(faults), carries)
        self._channels[channel.port] = channel
        self._sites[channel.port] = site = web.SockSite(self._runner, listener)
        await site.start()
        return channel

    async def end(self, channel: Channel) -> None:
        """Closes the port, so that a run of thousands of visits needs no more open files than it has visits at once."""
        await self._sites.pop(channel.port).stop()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        channel = self._channels[request.transport.get_extra_info("sockname")[1]]
        with self._counted(channel):
            body = await request.read()
            sent = Sent(request.method, request.raw_path, {k.lower(): v for k, v in request.headers.items()}, body)
            channel.sent.append(sent)
            is_faulty = bool(channel.faults) and channel.carries(sent.method, sent.path.partition("?")[0])
            answer = await (self._befall(request, sent, channel.faults.popleft()) if is_faulty else self._pass(sent))
        if answer is None:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        sent.status = answer.status
        answer.force_close()
        return answer

    @contextlib.contextmanager
    def _counted(self, channel: Channel) -> Iterator[None]:
        channel.open += 1
        try:
            yield
        finally:
            channel.open -= 1
            channel.ended_at = monotonic()

    async def _befall(self, request: web.BaseRequest, sent: Sent, fault: Fault) -> web.Response | None:
        """Returns the answer that a faulty way gives; None: the connection is cut."""
        if fault.way is Way.REFUSE:
            sent.is_refused = True
            return said(fault.status, sent)
        if fault.way is Way.LOSE:
            sent.is_refused = True
            return None
        if fault.way is Way.KILL:
            passing = asyncio.ensure_future(self._pass(sent))
            await self._strike()
            await passing
            return None
        await self._pass(sent)
        if fault.way is Way.SAY:
            return said(fault.status, sent)
        if fault.way is Way.SILENT:
            until = asyncio.get_running_loop().time() + SILENCE_SECONDS
            while request.transport is not None and asyncio.get_running_loop().time() < until:
                await asyncio.sleep(0.05)
        return None

    async def _pass(self, sent: Sent) -> web.Response | None:
        """Returns ingest's answer; None if there is none."""
        assert self._session is not None
        headers = {name: value for name, value in sent.headers.items() if name not in NOT_PASSED_ON}
        url = URL(self._target() + sent.path, encoded=True)
        try:
            async with self._session.request(
                sent.method, url, data=sent.body or None, headers=headers, allow_redirects=False
            ) as found:
                sent.answer = await found.read()
                kept = [(name, value) for name, value in found.headers.items() if name.lower() not in NOT_PASSED_ON]
                return web.Response(status=found.status, body=sent.answer, headers=kept)
        except (ClientError, OSError, TimeoutError):
            return None


def said(status: int, sent: Sent) -> web.Response:
    """Returns an answer with nothing but a status, which a page may read."""
    response = web.Response(status=status)
    if (origin := sent.headers.get("origin")) is not None:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Allow-Credentials"] = "true"
    if status in {429, 503}:
        response.headers["Retry-After"] = "1"
        response.headers["Access-Control-Expose-Headers"] = "Retry-After"
    return response
