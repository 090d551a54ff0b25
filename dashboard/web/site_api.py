"""Answers the page about sites: the list of all, the facts of one, changes of its goals and the like, and health.

Sites are read from Redis when somebody asks, at most once a second. While no page is open, nothing is read.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from aiohttp import web
from msgspec.structs import replace

from dashboard.access.viewer import viewer_of
from dashboard.body import body_of
from dashboard.catalogue.contract import Refused
from dashboard.sites.changes import Changes
from dashboard.sites.health import Health
from dashboard.sites.records import Sites, SiteView
from dashboard.web import reach
from dashboard.web.panel_api import Panels
from dashboard.web.problems import answered
from schemas.snippet import snippet
from schemas.tracker_names import TRACKER_PATH, TrackerNames

LIST_DAYS = 28
LIST_SECONDS, TODAY_SECONDS, LATEST_SECONDS = 30, 10, 2
LATEST_ROWS = 10
_log = logging.getLogger("dashboard.web")


class GoalSaid(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Holds a goal that is added, as a text (schemas/goals.py)."""

    text: str


class FunnelSaid(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Holds a funnel that is added."""

    name: str
    steps: list[str]


class SegmentSaid(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Holds a segment that is added."""

    name: str
    filters: list[Any]


class AnnotationSaid(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Holds an annotation that is added."""

    date: str
    text: str


class SiteApi:
    """Answers /api/sites, what lies below, /api/health, and /api/viewer."""

    def __init__(
        self,
        *,
        panels: Panels,
        sites: Sites,
        changes: Changes,
        health: Health,
        public_url: str,
        tracker_path: str = TRACKER_PATH,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._panels = panels
        self._sites = sites
        self._changes = changes
        self._health = health
        self._public_url = public_url
        self._names = TrackerNames.of(tracker_path)
        self._now = now

    def add_to(self, app: web.Application) -> None:
        """Adds the routes."""
        router = app.router
        router.add_get("/api/sites", self._list)
        router.add_get("/api/sites/{site}", self._facts)
        router.add_get("/api/sites/{site}/latest", self._latest)
        for kind in ("goals", "funnels", "segments", "annotations"):
            router.add_put(f"/api/sites/{{site}}/{kind}", self._put)
            router.add_delete(f"/api/sites/{{site}}/{kind}/{{name}}", self._delete)
        router.add_get("/api/health", self._healthy)
        router.add_get("/api/viewer", self._viewer)

    async def _list(self, request: web.Request) -> web.Response:
        viewer, now = viewer_of(request), int(self._now())
        today = datetime.fromtimestamp(now, UTC).date()
        first = today - timedelta(days=LIST_DAYS - 1)
        by_day, lately = await asyncio.gather(
            self._panels.plain("sites", LIST_SECONDS, since=str(first), until=str(today)),
            self._panels.plain("sites_today", TODAY_SECONDS, now=_rounded(now, TODAY_SECONDS)),
        )
        names = dict.fromkeys(self._sites.names())
        if self._sites.takes_any:
            names |= dict.fromkeys(row[0] for row in by_day)
        names = {name: None for name in names if viewer.reads(name)}
        days: dict[str, list[int]] = {name: [0] * LIST_DAYS for name in names}
        for name, day, pageviews in by_day:
            if name in days:
                days[name][(datetime.fromisoformat(day).date() - first).days] = pageviews
        counted = {row[0]: row for row in lately}
        said = [
            {
                "name": name,
                "zone": self._sites.zone_of(name),
                "visitors": counted[name][1] if name in counted else 0,
                "pageviews": counted[name][2] if name in counted else 0,
                "days": days[name],
            }
            for name in names
        ]
        return answered(said)

    async def _facts(self, request: web.Request) -> web.Response:
        site = self._site(request)
        viewer, now = viewer_of(request), int(self._now())
        bounds, latest = await asyncio.gather(self._panels.bounds(site.name), self._latest_rows(site.name, 1))
        last = latest[0]["at"] if latest else bounds.last
        first, last = reach.seen(bounds.first, last, viewer, site.zone, now)
        return answered(
            {
                "name": site.name,
                "zone": site.zone,
                "is_registered": site.is_registered,
                "snippet": snippet(
                    self._public_url,
                    site.name,
                    hash_routing=site.record.settings.hash_routing,
                    names=self._names,
                ),
                "first_event": first,
                "last_event": last,
                "currencies": bounds.currencies if reach.shows_revenue(viewer) else [],
                "may_change": viewer.changes(site.name),
                **_changeable(reach.known(site, viewer, now)),
            }
        )

    async def _latest(self, request: web.Request) -> web.Response:
        return answered(await self._latest_rows(self._site(request).name, LATEST_ROWS))

    async def _latest_rows(self, site: str, limit: int) -> list[dict[str, Any]]:
        now = _rounded(int(self._now()), LATEST_SECONDS)
        rows = await self._panels.plain("latest", LATEST_SECONDS, site=site, now=now, limit=limit)
        return [dict(zip(("at", "name", "path", "bot", "country"), row, strict=True)) for row in rows]

    async def _put(self, request: web.Request) -> web.Response:
        """Adds or replaces a goal, funnel, segment or annotation, and answers with all that the site has then."""
        site, body = self._changeable(request), await body_of(request)
        kind = request.path.rpartition("/")[2]
        if kind == "goals":
            await self._changes.add_goal(site.name, _said(body, GoalSaid).text)
        elif kind == "funnels":
            funnel = _said(body, FunnelSaid)
            await self._changes.add_funnel(site.name, funnel.name, funnel.steps)
        elif kind == "segments":
            segment = _said(body, SegmentSaid)
            await self._changes.add_segment(site.name, segment.name, segment.filters)
        else:
            annotation = _said(body, AnnotationSaid)
            await self._changes.add_annotation(site.name, annotation.date, annotation.text)
        return answered(_changeable(self._site(request)))

    async def _delete(self, request: web.Request) -> web.Response:
        """Removes a goal or funnel by its name, a segment or annotation by its id, and answers with all that the site has then."""
        site, name = self._changeable(request), request.match_info["name"]
        kind = request.path.split("/")[4]
        remove: Mapping[str, Callable[[str, Any], Awaitable[None]]] = {
            "goals": self._changes.remove_goal,
            "funnels": self._changes.remove_funnel,
            "segments": self._changes.remove_segment,
            "annotations": self._changes.remove_annotation,
        }
        await remove[kind](site.name, name if kind in {"goals", "funnels"} else _number(name))
        return answered(_changeable(self._site(request)))

    async def _healthy(self, request: web.Request) -> web.Response:
        """Says how all parts are. Of events that were rejected it says those of sites that the viewer may see."""
        viewer, report = viewer_of(request), await self._health.look()
        if not viewer.reads_every_site:
            rejected = [one for one in report.rejected if one.where and viewer.reads(one.where)]
            report = replace(report, rejected=rejected, last_event=None)
        return answered(report)

    async def _viewer(self, request: web.Request) -> web.Response:
        """Says who looks; nobody has a name who did not log in."""
        return answered({"name": viewer_of(request).name})

    def _site(self, request: web.Request) -> SiteView:
        return viewer_of(request).site(self._sites, request.match_info["site"])

    def _changeable(self, request: web.Request) -> SiteView:
        return viewer_of(request).changeable(self._sites, request.match_info["site"])


def _changeable(site: SiteView) -> dict[str, Any]:
    """Returns all of a site that the page can change."""
    notes = site.notes
    return {
        "goals": [{"name": goal.name} for goal in site.record.goals],
        "funnels": [{"name": funnel.name, "steps": list(funnel.steps)} for funnel in site.record.funnels],
        "segments": [{"id": one.id, "name": one.name, "filters": one.filters} for one in notes.segments],
        "annotations": [{"id": one.id, "date": one.date, "text": one.text} for one in notes.annotations],
    }


def _said(body: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(f"The body can't be read: {error}.") from error


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 9:
        raise Refused(f"'{text[:40]}' is no number.")
    return int(text)


def _rounded(now: int, seconds: int) -> int:
    """Returns the moment rounded up, so that everybody who asks within these seconds asks the same, and no event is missed."""
    return -(-now // seconds) * seconds
