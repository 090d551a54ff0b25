"""Finds out who looks, once for each request, and keeps out whoever has to log in first.

    ?link=ID, on the API                     whoever has opened that public link, whether or not that browser has a session
    a cookie of a session that is open       the user, with the user's grants as they are now
    from this machine, while nobody else     somebody who may do everything: there is no user, and no public URL is set
    has to be told apart
    from this machine, else                  a program that may read the metrics
    a key that reads, for the metrics        the key, with its sites
    anybody else                             nobody: may log in, and ask whether the process lives

The Stats API has keys of its own (dashboard/sites/keys.py), and probes have to be answered while Redis is away, so for these nobody is looked up.
"""

from __future__ import annotations

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from dashboard.access import html
from dashboard.access.cookies import Cookies
from dashboard.access.guard import METRICS, STATS_API, Asked, is_local
from dashboard.access.links import Links
from dashboard.access.sessions import Ended, Sessions
from dashboard.access.shared import SHARED
from dashboard.access.signing import Signing
from dashboard.access.users import Users
from dashboard.access.viewer import LOCAL, MACHINE, NOBODY, Viewer, admit
from dashboard.catalogue.contract import Away
from dashboard.metrics import Metrics
from dashboard.sites.keys import Denied, Keys

PROBES = frozenset(("/healthz", "/readyz"))
KEYED = (METRICS, "/mcp")  # where programs come with a key
LOGIN = "/login"
OPEN = frozenset((LOGIN, "/login.css", "/icon.svg", SHARED))  # what somebody needs who is about to log in
CODE = frozenset(("/app.js", "/app.css"))  # of the page, with no word of anybody's sites
# What a public link may ask, by method and route. Whatever is not here is closed to it.
OF_LINKS = frozenset(
    (
        ("POST", "/api/panel"),
        ("GET", "/api/panel.csv"),
        ("GET", "/api/export.zip"),
        ("GET", "/api/link"),
        ("GET", "/api/sites/{site}"),
    )
)
PAGES = frozenset(("/", LOGIN, "/account"))  # what people open, so a problem with them is a page, too


class Entry:
    """Makes viewers. `is_public` says that a public URL is set, so that even this machine has to log in."""

    def __init__(
        self,
        *,
        users: Users,
        sessions: Sessions,
        signing: Signing,
        cookies: Cookies,
        keys: Keys,
        links: Links,
        metrics: Metrics,
        is_public: bool,
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._signing = signing
        self._cookies = cookies
        self._keys = keys
        self._links = links
        self._metrics = metrics
        self._is_public = is_public

    def middleware(self) -> Middleware:
        """Returns the middleware that makes the viewer of each request."""

        @web.middleware
        async def entered(request: web.Request, handler: Handler) -> web.StreamResponse:
            path = request.path
            if path in PROBES or path.startswith(STATS_API):
                return await handler(request)
            try:
                viewer, why = await self._viewer(request)
            except Away as error:
                self._metrics.refused.labels("away").inc()
                if path in PAGES and request.method == hdrs.METH_GET:
                    return html.away(str(error))
                raise
            except Denied as error:
                self._metrics.refused.labels("key").inc()
                return web.Response(status=error.status, text=f"{error}\n", headers=error.headers)
            admit(request, viewer)
            if _is_admitted(viewer, request):
                return await handler(request)
            self._metrics.refused.labels(why or "login").inc()
            return _to_login(request)

        return entered

    async def _viewer(self, request: web.Request) -> tuple[Viewer, str]:
        """Returns who looks, and why a cookie opens nothing, if one was sent. Raises Away and Denied."""
        header = request.headers.get(hdrs.AUTHORIZATION)
        if header is not None and request.path.startswith(KEYED):
            key = await self._keys.reader(header)
            return Viewer(kind="key", grants=dict.fromkeys(key.sites, "viewer")), ""
        link_id = request.query.get("link")
        if link_id is not None and request.path.startswith("/api/"):
            await self._signing.read()
            link = await self._links.opened(request, link_id)
            if link is None:
                return NOBODY, "link"
            return Viewer(kind="link", grants={link.site: "viewer"}, name=link_id, link=link), ""
        cookie, why = self._cookies.get(request, "session"), ""
        if cookie:
            await self._signing.read()
            try:
                found = await self._sessions.find(cookie)
            except Ended as error:
                why = str(error)
            else:
                user = found.user
                return Viewer(
                    kind="user",
                    grants=user.record.grants,
                    name=user.name,
                    user_id=user.record.id,
                    session=found.id,
                ), ""
        is_here = is_local(asked_of(request))
        if is_here and not self._is_public and not await self._users.has_any():
            return LOCAL, ""
        return (MACHINE if is_here else NOBODY), why


def _is_admitted(viewer: Viewer, request: web.Request) -> bool:
    """Tells whether a viewer gets an answer at all. The metrics of processes are for who sees every site, and programs on this machine."""
    path = request.path
    if viewer.kind == "link":
        route = request.match_info.route.resource
        return route is not None and (request.method, route.canonical) in OF_LINKS
    if path == METRICS:
        return viewer is MACHINE or viewer.reads_every_site
    return viewer.kind not in {"nobody", "machine"} or path in OPEN | CODE or path.startswith(f"{SHARED}/")


def asked_of(request: web.Request) -> Asked:
    """Returns what is judged of a request."""
    name = request.transport.get_extra_info("peername") if request.transport is not None else None
    peer = str(name[0]) if isinstance(name, tuple) else ""
    version = (request.version.major, request.version.minor)
    return Asked(
        peer=peer,
        path=request.path,
        method=request.method,
        headers=request.headers,
        version=version,
        target=request.raw_path,
    )


def _to_login(request: web.Request) -> web.Response:
    """Returns what somebody hears who has to log in: a page is led to the form, and keeps the fragment of its address."""
    if request.path in PAGES and request.method in {hdrs.METH_GET, hdrs.METH_HEAD}:
        return web.Response(status=303, headers={hdrs.LOCATION: LOGIN})
    return web.json_response({"error": "Log in first: open the dashboard anew."}, status=401)
