"""Serves the page: the built files of dashboard/page/dist, read once at the start.

The page loads everything from this process. The Content-Security-Policy, which every answer has, forbids it all other requests. It names
`form-action`, `base-uri` and `frame-ancestors`, because these do not fall back to `default-src`.
"""

from __future__ import annotations

from importlib.resources import files

from aiohttp import hdrs, web

from runtime.coded import Coded

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
}
KINDS |= {".svg": "image/svg+xml", ".png": "image/png", ".json": "application/json"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # for browsers that don't know frame-ancestors
    "X-Robots-Tag": "noindex",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
INDEX = "index.html"


class Pages:
    """Holds the page's files in memory, in every content coding that we offer."""

    def __init__(self) -> None:
        built = files("dashboard").joinpath("page", "dist")
        names = [one.name for one in built.iterdir() if one.is_file() and not one.name.endswith(".br")]
        self._files: dict[str, Coded] = {}
        for name in sorted(names):
            brotli = built.joinpath(f"{name}.br")
            self._files[name] = Coded(
                built.joinpath(name).read_bytes(), brotli.read_bytes() if brotli.is_file() else b""
            )

    def add_to(self, app: web.Application) -> None:
        """Adds a route for each file; `/` is the index."""
        for name in self._files:
            app.router.add_get("/" if name == INDEX else f"/{name}", self._send)

    async def index(self, request: web.Request) -> web.Response:
        """Answers with the page, whatever the path."""
        return self._sent(INDEX, request)

    async def _send(self, request: web.Request) -> web.Response:
        return self._sent(request.path.removeprefix("/") or INDEX, request)

    def _sent(self, name: str, request: web.Request) -> web.Response:
        coding, body, tag = self._files[name].form(request.headers.get(hdrs.ACCEPT_ENCODING, ""))
        headers = {
            hdrs.ETAG: tag,
            hdrs.VARY: hdrs.ACCEPT_ENCODING,
            hdrs.CACHE_CONTROL: "no-cache",  # browsers ask each time, and get a 304 until there is a new version
        }
        if tag in request.headers.get(hdrs.IF_NONE_MATCH, ""):
            return web.Response(status=304, headers=headers)
        headers[hdrs.CONTENT_TYPE] = KINDS.get(f".{name.rpartition('.')[2]}", "application/octet-stream")
        if coding:
            headers[hdrs.CONTENT_ENCODING] = coding
        return web.Response(body=body, headers=headers)
