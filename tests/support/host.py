"""Serves a host page, and the server that its tracker talks to, on one loopback port, and keeps what arrives.

The page lives on localhost and the tracker on 127.0.0.1, so they are two origins, as in life.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import web
from playwright.async_api import Page

from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "tracker" / "dist"
DEMO = ROOT / "forebay" / "embedded" / "demo.html"
STUB = "<script>window.forebay=window.forebay||function(){(forebay.q=forebay.q||[]).push(arguments)}</script>"
DROP = 0  # instead of a status: the connection is cut without an answer


class Post(NamedTuple):
    events: list[dict[str, Any]]
    status: int
    at: float  # of the loop's clock
    mode: str  # `no-cors` is a beacon's, `cors` is fetch's
    content_type: str
    cookie: str | None
    query: str

    @property
    def event(self) -> dict[str, Any]:
        """Returns the only event of the post."""
        (event,) = self.events
        return event


class Host:
    """Serves the host page under every path and the tracker, and keeps what is posted to it."""

    def __init__(self) -> None:
        self.origin = self.tracker = ""
        self.script = "f.js"
        self.attributes = 'data-site="example.com"'
        self.tags = 1
        self.head = ""
        self.headers: dict[str, str] = {}  # of the page
        self.page_status = 200
        self.worker = ""  # the page's own service worker, as /worker.js
        self.answers: deque[int] = deque()  # statuses of the next posts; then `usual`
        self.usual = 202
        self.answer_headers: dict[str, str] = {}
        self.answer_body = ""
        self.posts: list[Post] = []
        self.page_released = asyncio.Event()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/{path:f|elsewhere}", self.take)
        app.router.add_get(r"/{name:(?:versions/f\.\w+|f)\.js(?:\.br)?|f\.(?:debug|vitals|queue)\.js}", self.give)
        app.router.add_get("/demo", self.demo)
        app.router.add_get("/release", self.release)
        app.router.add_get("/worker.js", self.give_worker)
        app.router.add_get("/{path:.*}", self.page)
        return app

    async def give(self, request: web.Request) -> web.StreamResponse:
        headers = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
        name = request.match_info["name"]
        if name.endswith(".br"):
            headers["Content-Encoding"] = "br"
        # Not a FileResponse: that one would send f.js.br where f.js is asked for.
        return web.Response(body=(DIST / name).read_bytes(), content_type="text/javascript", headers=headers)

    async def demo(self, _: web.Request) -> web.StreamResponse:
        return web.FileResponse(DEMO)

    async def give_worker(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text=self.worker, content_type="text/javascript")

    async def release(self, _: web.Request) -> web.StreamResponse:
        await self.page_released.wait()
        return web.Response()

    async def page(self, request: web.Request) -> web.StreamResponse:
        tag = f'<script defer src="{self.tracker}/{self.script}" {self.attributes}></script>'
        html = f"<!doctype html><title>{request.path}</title>{self.head}{tag * self.tags}"
        return web.Response(text=html, content_type="text/html", headers=self.headers, status=self.page_status)

    async def take(self, request: web.Request) -> web.StreamResponse:
        status = self.answers.popleft() if self.answers else self.usual
        said = json.loads(await request.text())
        self.posts.append(
            Post(
                events=said if isinstance(said, list) else [said],
                status=status,
                at=asyncio.get_running_loop().time(),
                mode=request.headers["Sec-Fetch-Mode"],
                content_type=request.headers["Content-Type"],
                cookie=request.headers.get("Cookie"),
                query=request.query_string,
            )
        )
        if status == DROP:
            assert request.transport is not None
            request.transport.abort()
        response = web.Response(status=status or 500, headers=self.answer_headers, text=self.answer_body)
        response.headers["Access-Control-Allow-Origin"] = request.headers.get("Origin", "*")
        # A connection is used once: Chromium itself sends again what is lost on a connection it reused.
        response.force_close()
        return response

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """Returns the events of this name in order of arrival; the pageviews if no name is given."""
        return [event for event in self.all_events() if event.get("name") == name]

    def all_events(self) -> list[dict[str, Any]]:
        """Returns every event that arrived, in its order, as often as it arrived."""
        return [event for post in self.posts for event in post.events]

    def taken(self) -> list[str]:
        """Returns the ids of events that were answered 2xx, as often as they were."""
        return [event["id"] for post in self.posts if post.status // 100 == 2 for event in post.events]

    async def pageviews(self, count: int) -> list[dict[str, Any]]:
        await until(lambda: len(self.events()) >= count)
        return self.events()

    async def event(self, name: str) -> dict[str, Any]:
        await until(lambda: self.events(name))
        return self.events(name)[0]

    async def sent_before(self, page: Page, last: str = "last") -> list[dict[str, Any]]:
        """Returns everything that the page sent until now. It knows by sending one more event and waiting for it."""
        await page.evaluate("name => forebay(name)", last)
        await self.event(last)
        return [event for event in self.all_events() if event.get("name") != last]


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
