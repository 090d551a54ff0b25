"""A host page and the server its tracker talks to, on one loopback port, keeping what arrives.

The page lives on localhost and the tracker on 127.0.0.1: two origins, as in life.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import web
from playwright.async_api import Page

ROOT = Path(__file__).resolve().parent.parent
TRACKER = ROOT / "tracker" / "dist" / "f.js"
DEMO = ROOT / "forebay" / "embedded" / "demo.html"
STUB = "<script>window.forebay=window.forebay||function(){(forebay.q=forebay.q||[]).push(arguments)}</script>"
DROP = 0  # instead of a status: the connection is cut without an answer


class Post(NamedTuple):
    event: dict[str, Any]
    status: int
    mode: str  # `no-cors` is a beacon's, `cors` is fetch's
    content_type: str
    cookie: str | None


class Host:
    """Serves the host page under every path and the tracker, and keeps what is posted to it."""

    def __init__(self) -> None:
        self.origin = self.tracker = ""
        self.attributes = 'data-site="example.com"'
        self.tags = 1
        self.head = ""
        self.answers: deque[int] = deque()  # statuses of the next posts; then 202
        self.posts: list[Post] = []
        self.page_released = asyncio.Event()
        self._arrived = asyncio.Event()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/{path:f|elsewhere}", self.take)
        app.router.add_get("/f.js", self.script)
        app.router.add_get("/demo", self.demo)
        app.router.add_get("/release", self.release)
        app.router.add_get("/{path:.*}", self.page)
        return app

    async def script(self, _: web.Request) -> web.StreamResponse:
        return web.FileResponse(TRACKER)

    async def demo(self, _: web.Request) -> web.StreamResponse:
        return web.FileResponse(DEMO)

    async def release(self, _: web.Request) -> web.StreamResponse:
        await self.page_released.wait()
        return web.Response()

    async def page(self, request: web.Request) -> web.StreamResponse:
        tag = f'<script defer src="{self.tracker}/f.js" {self.attributes}></script>'
        html = f"<!doctype html><title>{request.path}</title>{self.head}{tag * self.tags}"
        return web.Response(text=html, content_type="text/html")

    async def take(self, request: web.Request) -> web.StreamResponse:
        status = self.answers.popleft() if self.answers else 202
        self.posts.append(
            Post(
                event=json.loads(await request.text()),
                status=status,
                mode=request.headers["Sec-Fetch-Mode"],
                content_type=request.headers["Content-Type"],
                cookie=request.headers.get("Cookie"),
            )
        )
        self._arrived.set()
        if status == DROP:
            assert request.transport is not None
            request.transport.abort()
        response = web.Response(status=status or 500)
        response.headers["Access-Control-Allow-Origin"] = request.headers.get("Origin", "*")
        # A connection is used once: Chromium itself sends again what is lost on a connection it reused.
        response.force_close()
        return response

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """Events of that name, in order of arrival; without a name, pageviews."""
        return [post.event for post in self.posts if post.event.get("name") == name]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(15):
            while not condition():
                self._arrived.clear()
                await self._arrived.wait()

    async def pageviews(self, count: int) -> list[dict[str, Any]]:
        await self.until(lambda: len(self.events()) >= count)
        return self.events()

    async def event(self, name: str) -> dict[str, Any]:
        await self.until(lambda: self.events(name))
        return self.events(name)[0]

    async def sent_before(self, page: Page, last: str = "last") -> list[dict[str, Any]]:
        """Everything the page sent until now: one more event is sent and waited for."""
        await page.evaluate("name => forebay(name)", last)
        await self.event(last)
        return [post.event for post in self.posts if post.event.get("name") != last]


@asynccontextmanager
async def run_host() -> AsyncIterator[Host]:
    host = Host()
    runner = web.AppRunner(host.app(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    host.origin, host.tracker = f"http://localhost:{port}", f"http://127.0.0.1:{port}"
    try:
        yield host
    finally:
        host.page_released.set()
        await runner.cleanup()
