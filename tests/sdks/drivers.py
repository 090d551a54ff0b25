"""Runs the scripts of SDKs: pages in a headless Chromium, modules in Node.js, and modules in CPython.

A page is served under the name of its site, which Chromium finds on loopback, because SDKs keep silent on `localhost` and
where `navigator.webdriver` is set. The other scripts run in one process for each SDK, which makes all its visits at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from playwright.async_api import Browser, Error

from tests.sdks.declared import Sdk
from tests.sdks.installed import HERE, INSTALLED
from tests.sdks.relay import Channel
from tests.support.browser import open_browser

SECONDS_MAX = 150  # for a page, or a process with all its visits: a busy machine takes long to start ingest again
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36"
FLAGS = (
    "--host-resolver-rules=MAP *.test 127.0.0.1",
    "--unsafely-treat-insecure-origin-as-secure=http://*.sdk.test",  # people's pages are served over https
    "--disable-blink-features=AutomationControlled",  # which sets navigator.webdriver
)
FOLDERS = {"npm": "node_modules", "unpacked": "unpacked"}

Visit = tuple[str, Channel]  # its name, and what it sends through


class Pages:
    """Serves the page of each SDK under its site's name, and the scripts that npm installed."""

    def __init__(self) -> None:
        self.port = 0
        self._pages: dict[str, str] = {}  # by host

    def add(self, sdk: Sdk, visit: str, channel: Channel) -> str:
        """Serves the page of a visit. Returns its URL."""
        site = sdk.site_of(visit)
        text = (HERE / "browser" / f"{sdk.page or sdk.name}.html").read_text()
        given = {"url": f"http://in.test:{channel.port}", "site": site, "key": sdk.key_of(visit), **sdk.fills}
        for name, value in given.items():
            text = text.replace("{{" + name + "}}", value)
        self._pages[site] = text
        return f"http://{site}:{self.port}{sdk.path}"

    async def page(self, request: web.Request) -> web.StreamResponse:
        text = self._pages.get(request.host.partition(":")[0])
        if text is None:
            raise web.HTTPNotFound
        return web.Response(text=text, content_type="text/html")

    async def nothing(self, _: web.Request) -> web.StreamResponse:
        raise web.HTTPNotFound

    async def file(self, request: web.Request) -> web.StreamResponse:
        found = INSTALLED / FOLDERS[request.match_info["folder"]] / request.match_info["path"]
        if not found.suffix:  # as bundlers read the imports of older packages
            found = found.with_suffix(".js")
        return web.FileResponse(found) if found.is_file() else web.Response(status=404)

    @asynccontextmanager
    async def served(self) -> AsyncIterator[Pages]:
        app = web.Application()
        app.router.add_get("/{folder:npm|unpacked}/{path:.*}", self.file)
        app.router.add_get("/favicon.ico", self.nothing)
        app.router.add_get("/{path:.*}", self.page)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()


@asynccontextmanager
async def chromium(sdks: Sequence[Sdk]) -> AsyncIterator[Browser | None]:
    """Runs a Chromium, if an SDK needs one."""
    if any(sdk.runs_in == "browser" for sdk in sdks):
        async with open_browser(*FLAGS, is_whole=False) as browser:
            yield browser
    else:
        yield None


@asynccontextmanager
async def tab_of(browser: Browser, sdk: Sdk, page: str, thrown: list[str]) -> AsyncIterator[None]:
    """Makes a visit in a tab of a fresh profile, which is open until the block ends. What goes wrong in it is in `thrown`."""
    context = await browser.new_context(user_agent=AGENT, locale="en-GB", viewport={"width": 1280, "height": 720})
    context.set_default_timeout(SECONDS_MAX * 1000)
    try:
        tab = await context.new_page()
        tab.on("pageerror", lambda error: thrown.append(f"the page threw {error}"))
        try:
            await sdk.drive(tab, page)
        except Error as error:
            thrown.append(f"the page could not be driven: {error}")
        yield
        await tab.close()
    finally:
        await context.close()


async def run(sdk: Sdk, visits: Sequence[Visit]) -> dict[str, list[str]]:
    """Makes visits of an SDK that has no page, all at once. Returns what went wrong in each."""
    given = [
        {
            "name": visit, "url": channel.url, "site": sdk.site_of(visit), "key": sdk.key_of(visit),
            "page": f"https://{sdk.site_of(visit)}{sdk.path}",
        }
        for visit, channel in visits
    ]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="forebay-sdk-") as folder:
        words = _node(sdk, Path(folder)) if sdk.runs_in == "node" else _python(sdk)
        process = await asyncio.create_subprocess_exec(
            *words, json.dumps(given),
            env={"PATH": os.environ["PATH"], "HOME": folder, "PYTHONPATH": str(INSTALLED / "python")},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        ending = asyncio.get_running_loop().call_later(SECONDS_MAX, process.kill)
        try:
            out, err = await process.communicate()
        finally:
            ending.cancel()
    return {visit: _faults(visit, out, err, process.returncode) for visit, _ in visits}


def _faults(visit: str, out: bytes, err: bytes, status: int | None) -> list[str]:
    """Returns what a process says of a visit. Each line of its output that is an object with a `visit` is of one."""
    for line in out.decode("utf-8", "replace").splitlines():
        if line.startswith("{"):
            found: dict[str, Any] = json.loads(line)
            if found.get("visit") == visit:
                return [found["thrown"]] if found["thrown"] else []
    return [f"the visit did not end (status {status}): {err.decode('utf-8', 'replace')[-1500:]}"]


def _node(sdk: Sdk, folder: Path) -> list[str]:
    """Copies the scripts beside what npm installed, because modules are looked for beside the script that wants them."""
    (folder / "node_modules").symlink_to(INSTALLED / "node_modules")
    for name in ("run.mjs", f"{sdk.name}.mjs"):
        shutil.copy(HERE / "node" / name, folder)
    return ["node", str(folder / "run.mjs"), str(folder / f"{sdk.name}.mjs")]


def _python(sdk: Sdk) -> list[str]:
    return [sys.executable, "-S", str(HERE / "python" / "run.py"), str(HERE / "python" / f"{sdk.name}.py")]
