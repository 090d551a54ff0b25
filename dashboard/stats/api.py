"""Answers the Stats APIs over HTTP: `POST /api/v2/query` and `GET /api/v1/stats/...`. Every request needs a key.

`GET /api/v1/sites` lists the sites of a key, because programs use it to check their key.

These APIs are the only part of the dashboard that pages of other sites may call (CORS). So they need a key on loopback too, and use no
cookies. Each answer to a key says how many requests it has left in this hour. An error is `{"error": SENTENCE}`.

Not promised: that the requests of a key are answered in the order in which they came.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from typing import Any, Protocol

import msgspec
from aiohttp import hdrs, web

from dashboard.ask.answers import answer, answer_file
from dashboard.body import BODY_BYTES_MAX, body_of
from dashboard.catalogue.contract import Answer, Asker, FileQuestion, Question, Refused, Unanswered
from dashboard.catalogue.filter_json import shown
from dashboard.catalogue.goals import goals_of
from dashboard.catalogue.periods import today
from dashboard.sites.keys import Denied, Grant
from dashboard.sites.records import SiteView
from dashboard.stats import v1, v2
from dashboard.stats.ranges import Clock
from dashboard.stats.words import dimension

V1, V2, SITES = "/api/v1/stats/", "/api/v2/query", "/api/v1/sites"
JSON = "application/json"
NOW_SECONDS = 5  # the moment of `realtime/visitors` is rounded up to it, so that several requests share an answer
CORS: dict[str, str] = {
    hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
    hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After",
}
PREFLIGHT: dict[str, str] = CORS | {
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "Authorization, Content-Type",
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST",
    hdrs.ACCESS_CONTROL_MAX_AGE: "86400",
}
ROUTES = (V2, *(V1 + route for route in v1.PARAMETERS), SITES)


class Grants(Protocol):
    """Checks the keys of requests."""

    async def grant(self, header: str | None, site_id: str) -> Grant:
        """Counts a request, and returns which key may ask about which site. Raises Denied and Away."""

    async def readable(self, header: str | None) -> tuple[Grant, list[str]]:
        """Counts a request, and returns which sites its key may read. Raises the same errors."""


class Sites(Protocol):
    """Knows the sites."""

    def get(self, name: str) -> SiteView | None:
        """Returns the site of a name."""


class StatsApi:
    """Has the routes of both APIs."""

    def __init__(
        self,
        *,
        asker: Asker,
        grants: Grants,
        sites: Sites,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._asker = asker
        self._grants = grants
        self._sites = sites
        self._now = now

    def add_to(self, app: web.Application) -> None:
        """Adds the routes to an application."""
        app.router.add_post(V2, self._handled(self._v2))
        for route in v1.PARAMETERS:
            app.router.add_get(V1 + route, self._handled(self._v1))
        app.router.add_get(SITES, self._handled(self._listed))
        for below in ("/api/v1", "/api/v2"):
            app.router.add_options(below + "/{rest:.*}", _preflight)
            app.router.add_route("*", below + "/{rest:.*}", self._handled(_elsewhere))

    def _handled(self, handler: Callable[[web.Request, dict[str, str]], Awaitable[object]]) -> Any:
        """Returns a handler of aiohttp that answers with the JSON of what `handler` returns, or with its error. `handler` may add headers."""

        async def handled(request: web.Request) -> web.Response:
            headers: dict[str, str] = dict(CORS)
            status = 200
            try:
                said: object = await handler(request, headers)
            except Denied as error:
                status, said = error.status, _problem(error)
                headers |= error.headers
            except Refused as error:
                status, said = 400, _problem(error)
            except Unanswered as error:
                status, said = error.status, _problem(error)
                headers |= {hdrs.RETRY_AFTER: str(error.retry_after)} if error.retry_after else {}
            except web.HTTPRequestEntityTooLarge:
                status, said = 413, _problem(f"A question has at most {BODY_BYTES_MAX >> 10} KiB.")
            except web.HTTPException as error:
                status, said = error.status, _problem(error.text or error.reason)
                headers |= {name: error.headers[name] for name in (hdrs.ALLOW,) if name in error.headers}
            return web.Response(body=msgspec.json.encode(said), status=status, content_type=JSON, headers=headers)

        return handled

    async def _v2(self, request: web.Request, headers: dict[str, str]) -> object:
        given = await _body(request)
        site_id = given.get("site_id")
        if site_id is not None and not isinstance(site_id, str):
            raise Refused(f"site_id is a text, not {shown(site_id)}.")
        site, clock = await self._granted(request, site_id, headers)
        first_day = await self._first_day(site, clock) if v2.needs_first_day(given) else None
        asked = v2.read(given, _site(site, first_day), clock)
        return v2.written(asked, await self._answered(asked.question, asked.dimensions))

    async def _v1(self, request: web.Request, headers: dict[str, str]) -> object:
        route = request.path.removeprefix(V1)
        given = dict(request.query)
        site, clock = await self._granted(request, given.get("site_id"), headers)
        for name in given:
            if len(request.query.getall(name)) > 1:
                raise Refused(f"The parameter {shown(name)} is given twice.")
        if route == "realtime/visitors":
            v1.check_names(route, given)
            return await self._live(site, clock)
        asked = v1.read(route, given, _site(site), clock)
        return v1.written(route, asked, await self._answered(asked.question, (asked.word,) if asked.word else ()))

    async def _answered(self, question: Question, words: Sequence[str]) -> Answer:
        """Returns the answer to a question whose dimensions were written as `words`. A refusal names them by these words."""
        try:
            return await answer(self._asker, question)
        except Refused as error:
            said = str(error)
            for word in words:
                said = said.replace(f"'{dimension(word)}'", f"'{word}'")
            raise Refused(said) from error

    async def _listed(self, request: web.Request, headers: dict[str, str]) -> object:
        """Returns the sites that a key may read, as Plausible's API of sites lists them."""
        grant, names = await self._grants.readable(request.headers.get(hdrs.AUTHORIZATION))
        headers |= grant.headers
        found = [site for name in names if (site := self._sites.get(name)) is not None]
        return {
            "sites": [{"domain": site.name, "timezone": site.zone} for site in found],
            "meta": {"after": None, "before": None, "limit": len(found)},
        }

    async def _granted(
        self, request: web.Request, site_id: str | None, headers: dict[str, str]
    ) -> tuple[SiteView, Clock]:
        """Returns the site that a request may ask of, and the time there; adds the headers of its key."""
        if not site_id:
            raise Refused("Missing site ID: give site_id.")
        grant = await self._grants.grant(request.headers.get(hdrs.AUTHORIZATION), site_id)
        headers |= grant.headers
        site = self._sites.get(grant.site)
        if site is None:  # it was removed just now
            raise Refused("The site is gone.")
        return site, Clock(int(self._now()), site.zone)

    async def _first_day(self, site: SiteView, clock: Clock) -> date | None:
        """Returns the local day of a site's first event, None if it has none."""
        question = FileQuestion(file="bounds", site=site.name, period=clock.days(clock.today, clock.today))
        answered = await answer_file(self._asker, question)
        first = answered.rows[0][answered.columns.index("first_event")] if answered.rows else None
        return today(site.zone, int(first)) if first else None

    async def _live(self, site: SiteView, clock: Clock) -> int:
        """Returns how many people looked at a page in the last five minutes."""
        moment = clock.now - clock.now % NOW_SECONDS + NOW_SECONDS
        period = clock.days(clock.today, clock.today)
        question = FileQuestion(file="live", site=site.name, period=period, parameters={"now": moment})
        answered = await answer_file(self._asker, question)
        return sum(row[answered.columns.index("visitors")] for row in answered.rows)


def _site(site: SiteView, first_day: date | None = None) -> v2.Site:
    segments = {one.id: one.filters for one in site.notes.segments}
    return v2.Site(name=site.name, goals=goals_of(site.record.goals), segments=segments, first_day=first_day)


async def _body(request: web.Request) -> Mapping[str, object]:
    """Returns the object that a request has as JSON. Raises Refused, and web.HTTPException for what is too large or no JSON."""
    if request.content_type != JSON:
        raise web.HTTPUnsupportedMediaType(text=f"Send the question as JSON, with Content-Type: {JSON}.")
    body = await body_of(request)
    try:
        given = msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:
        raise Refused(f"The body is no JSON: {error}.") from error
    if not isinstance(given, dict):
        raise Refused(f"A question is an object with site_id, date_range and metrics, not {shown(given)}.")
    return given


async def _preflight(_: web.Request) -> web.Response:
    return web.Response(status=204, headers=PREFLIGHT)


async def _elsewhere(request: web.Request, _: dict[str, str]) -> object:
    """Raises the error for an address below the APIs' that is unknown or wants another method."""
    if request.path in ROUTES:
        wanted = "POST" if request.path == V2 else "GET"
        raise web.HTTPMethodNotAllowed(request.method, [wanted], text=f"Ask {request.path} by {wanted}.")
    raise web.HTTPNotFound(text=f"There is nothing here. There are: {', '.join(ROUTES)}.")


def _problem(error: object) -> dict[str, str]:
    return {"error": str(error)}
