"""Answers public links: opens them, asks for their password, and lets an admin of a site make and revoke them.

    GET    /shared/TOKEN                     the page, or the form for the link's password
    POST   /shared                           the password
    GET    /api/link?link=ID                 what the link shows, for the page
    GET    /api/sites/SITE/links             the links of a site, without what is secret
    PUT    /api/sites/SITE/links             makes one; the answer has its address, once
    DELETE /api/sites/SITE/links/ID          revokes one

Who tries tokens, or passwords of a link, is throttled like whoever tries to log in (dashboard/access/throttle.py).
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import date
from typing import Any

import msgspec
from aiohttp import hdrs, web
from msgspec.structs import replace

from dashboard.access import html
from dashboard.access.links import Links
from dashboard.access.login import Login
from dashboard.access.signing import Signing
from dashboard.access.throttle import Bucket, Throttle, Throttled
from dashboard.access.viewer import Sites, Unknown, viewer_of
from dashboard.body import body_of
from dashboard.catalogue.contract import Refused
from dashboard.metrics import Metrics
from schemas.links import Link, Shown
from schemas.users import PASSWORD_CHARS_MAX, password_fault

SHARED = "/shared"
Index = Callable[[web.Request], Awaitable[web.Response]]
AddressOf = Callable[[web.Request], str]
FormOf = Callable[[web.Request], Awaitable[Any]]


class LinkSaid(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Holds a link that is made on the page."""

    name: str = ""
    password: str = ""
    shows: list[Shown] = []
    since: date | None = None
    until: date | None = None
    days: int = 0


class Shared:
    """Answers public links. `index` answers with the page, `address_of` says whose attempts are counted together."""

    def __init__(
        self,
        *,
        links: Links,
        sites: Sites,
        login: Login,
        throttle: Throttle,
        signing: Signing,
        index: Index,
        address_of: AddressOf,
        form_of: FormOf,
        metrics: Metrics,
        url: str,
    ) -> None:
        self._links = links
        self._sites = sites
        self._login = login
        self._throttle = throttle
        self._signing = signing
        self._index = index
        self._address_of = address_of
        self._form_of = form_of
        self._metrics = metrics
        self._url = url.rstrip("/")

    def add_to(self, app: web.Application) -> None:
        """Adds the routes."""
        app.router.add_get(f"{SHARED}/{{token}}", self._show)
        app.router.add_post(SHARED, self._enter)
        app.router.add_get("/api/link", self._facts)
        app.router.add_get("/api/sites/{site}/links", self._list)
        app.router.add_put("/api/sites/{site}/links", self._add)
        app.router.add_delete("/api/sites/{site}/links/{id}", self._revoke)

    async def _show(self, request: web.Request) -> web.Response:
        await self._signing.read()
        token = request.match_info["token"]
        buckets = (Bucket("address", self._address_of(request)),)
        try:
            await self._throttle.take(buckets)
        except Throttled as error:
            self._metrics.links.labels("throttled").inc()
            return _throttled(html.no_link(str(error), status=429), error)
        found = await self._links.of_token(token)
        if found is None:
            self._metrics.links.labels("unknown").inc()
            return html.no_link("This link shows nothing any more. Ask whoever gave it to you.", status=404)
        await self._throttle.put_back(buckets)
        link_id, link = found
        if link.password and not self._links.has_opened(request, link_id, link):
            return html.link_password(token)
        self._metrics.links.labels("opened").inc()
        response = await self._index(request)
        self._links.open(response, link_id, link)
        return response

    async def _enter(self, request: web.Request) -> web.Response:
        await self._signing.read()
        form = await self._form_of(request)
        token = form.get("link", "")
        buckets = [Bucket("address", self._address_of(request))]
        found = await self._links.of_token(token)
        if found is not None:
            buckets.append(Bucket("link", found[0]))
        try:
            await self._throttle.take(buckets)
        except Throttled as error:
            self._metrics.links.labels("throttled").inc()
            return _throttled(html.link_password(token, problem=str(error), status=429), error)
        said = form.get("password", "")[: PASSWORD_CHARS_MAX + 1]
        is_right = await self._login.is_right(found[1].password if found is not None else "", said)
        if found is None or not is_right:
            self._metrics.links.labels("wrong").inc()
            return html.link_password(token, problem="The password is wrong.", status=401)
        await self._throttle.put_back(buckets)
        response = web.Response(status=303, headers={hdrs.LOCATION: f"{SHARED}/{token}"})
        self._links.open(response, *found)
        return response

    async def _facts(self, request: web.Request) -> web.Response:
        viewer = viewer_of(request)
        if viewer.link is None:
            raise Unknown("This asks for no link.")
        link = viewer.link
        return _json(
            {
                "site": link.site,
                "hidden": sorted(link.hidden),
                "since": link.since,
                "until": link.until,
                "days": link.days,
                "within": link.within,
            }
        )

    async def _list(self, request: web.Request) -> web.Response:
        site = viewer_of(request).changeable(self._sites, request.match_info["site"])
        return _json([_said(link_id, link) for link_id, link in await self._links.of_site(site.name)])

    async def _add(self, request: web.Request) -> web.Response:
        site = viewer_of(request).changeable(self._sites, request.match_info["site"])
        try:
            said = msgspec.json.decode(await body_of(request), type=LinkSaid)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Refused(f"The body can't be read: {error}.") from error
        if said.password and (fault := password_fault(site.name, said.password)):
            raise Refused(fault)
        link = Link(
            hash="",
            site=site.name,
            name=said.name.strip(),
            shows=tuple(sorted(set(said.shows))),
            since=said.since,
            until=said.until,
            days=said.days,
            made=int(time.time()),
        )
        if said.password:
            link = replace(link, password=await self._login.hashed(said.password))
        link_id, token = await self._links.add(link)
        base = self._url or str(request.url.origin())
        return _json({**_said(link_id, link), "address": f"{base}{SHARED}/{token}"})

    async def _revoke(self, request: web.Request) -> web.Response:
        site = viewer_of(request).changeable(self._sites, request.match_info["site"])
        if not await self._links.revoke(site.name, request.match_info["id"]):
            raise Unknown("There is no such link.")
        return _json([_said(link_id, link) for link_id, link in await self._links.of_site(site.name)])


def _said(link_id: str, link: Link) -> dict[str, Any]:
    """Returns what an admin reads of a link."""
    return {
        "id": link_id,
        "name": link.name,
        "within": link.within,
        "shows": list(link.shows),
        "has_password": bool(link.password),
        "made": link.made,
    }


def _json(said: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(said), content_type="application/json")


def _throttled(response: web.Response, error: Throttled) -> web.Response:
    response.headers[hdrs.RETRY_AFTER] = str(error.seconds)
    return response
