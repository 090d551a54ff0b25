"""Answers assistants at `POST /mcp`, in the protocol's form for HTTP: with a key (`Authorization: Bearer`), or on this machine while no login is needed.

The protocol's library is an ASGI application and the dashboard an aiohttp one, so a request is handed from one to the other, whole: an
answer is one JSON text. The library is imported in a thread when the first assistant comes, because that takes most of a second.

Not promised: streams. A GET, by which a client would listen for messages of the server, is answered 405: there are none.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Mapping, MutableMapping
from typing import Any, Protocol

from aiohttp import hdrs, web

from dashboard.access.viewer import viewer_of
from dashboard.body import body_of
from dashboard.mcp.answers import Answers
from dashboard.web.problems import problem

PATH = "/mcp"
KINDS = frozenset(("local", "key"))
HEADERS = frozenset(
    ("content-type", "accept", "mcp-protocol-version", "mcp-method", "mcp-name")
)  # what the library needs to see
NOT_INSTALLED = "The part for assistants is not installed here: pip install --requirement requirements/mcp.txt adds it."
_log = logging.getLogger("dashboard.mcp")


class Speaks(Protocol):
    """Answers HTTP requests as ASGI has them."""

    async def __call__(self, scope: Any, receive: Any, send: Any, /) -> None:
        """Answers one."""

    async def close(self) -> None:
        """Ends it."""


class Assistants:
    """Has the route."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._speaker: Speaks | None = None
        self._importing = asyncio.Lock()

    def add_to(self, app: web.Application) -> None:
        """Adds the route."""
        app.router.add_post(PATH, self._asked)

    async def close(self) -> None:
        """Gives up what is being answered."""
        if self._speaker is not None:
            await self._speaker.close()

    async def _asked(self, request: web.Request) -> web.StreamResponse:
        viewer = viewer_of(request)
        if viewer.kind not in KINDS:
            return problem(401, "Send a key that reads as a Bearer token.", **{hdrs.WWW_AUTHENTICATE: "Bearer"})
        body = await body_of(request)
        try:
            speaker = await self._spoken()
        except ImportError as error:
            _log.warning("%s (%s)", NOT_INSTALLED, error)
            return problem(501, NOT_INSTALLED)
        headers = [
            (name.lower().encode(), value.encode("utf-8", "surrogateescape"))
            for name, value in request.headers.items()
            if name.lower() in HEADERS or name.lower().startswith("mcp-param-")
        ]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": PATH,
            "raw_path": PATH.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": headers,
            "server": ("localhost", 80),
            "client": ("localhost", 0),
            "state": {},
            "forebay.viewer": viewer,
        }
        return await _handed(speaker, scope, body)

    async def _spoken(self) -> Speaks:
        """Returns the protocol's server, which begins with the first request. Raises ImportError where it is not installed."""
        async with self._importing:
            if self._speaker is None:
                module = await asyncio.to_thread(importlib.import_module, "dashboard.mcp.server")
                self._speaker = await module.Speaker(self._answers).started()
            return self._speaker


async def _handed(speaker: Speaks, scope: Mapping[str, Any], body: bytes) -> web.Response:
    """Returns the answer of an ASGI application to a request whose body is there."""
    messages: list[MutableMapping[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]
    said: dict[str, Any] = {"status": 500, "headers": []}
    parts: list[bytes] = []
    forever = asyncio.Event()

    async def receive() -> MutableMapping[str, Any]:
        if not messages:
            await forever.wait()  # the client is there until its answer is
        return messages.pop()

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            said.update(status=message["status"], headers=message.get("headers", []))
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))

    await speaker(scope, receive, send)
    kept = {hdrs.CONTENT_TYPE.lower(), hdrs.ALLOW.lower()}
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in said["headers"]}
    return web.Response(
        status=said["status"],
        body=b"".join(parts),
        headers={name: value for name, value in headers.items() if name.lower() in kept},
    )
