"""Answers the page's questions: a panel as JSON, or the same as CSV with all its rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from aiohttp import hdrs, web
from msgspec.structs import replace

from dashboard.access.viewer import Viewer, viewer_of
from dashboard.ask.answers import answer, answer_file
from dashboard.ask.files import query_of
from dashboard.body import body_of
from dashboard.catalogue.compiler import LIMIT_MAX
from dashboard.catalogue.contract import Answer, Asker, FileQuestion, Question, Statement, TooMuch
from dashboard.sites.records import Sites, SiteView
from dashboard.web import csv, reach, shape
from dashboard.web.panel_request import PanelRequest, decoded, panel_of, period_of, question_of
from dashboard.web.problems import answered

FRESH_SECONDS = 2
BOUNDS_SECONDS = 2  # a page that waits for the first event of a site asks every two seconds


class Bounds(NamedTuple):
    """Holds a site's first and last event (unix s, to a quarter of an hour; None without any), and the currencies that it has."""

    first: int | None
    last: int | None
    currencies: list[str]


class Panels:
    """Answers panels of sites."""

    def __init__(self, *, asker: Asker, sites: Sites, rows_max: int, now: Callable[[], float] = time.time) -> None:
        self._asker = asker
        self._sites = sites
        self._rows_max = rows_max
        self._now = now

    def add_to(self, app: web.Application) -> None:
        """Adds the routes."""
        app.router.add_post("/api/panel", self._panel)
        app.router.add_get("/api/panel.csv", self._csv)

    async def _panel(self, request: web.Request) -> web.Response:
        asked = decoded(await body_of(request))
        question = await self.question(viewer_of(request), asked)
        table = shape.table_of(question, await self.answered(question))
        dimensions, other = question.dimensions, question.compare if isinstance(question, Question) else None
        said = {
            "panel": asked.panel,
            "columns": table.columns,
            "rows": table.rows,
            "compared": table.compared,
            "total": table.total,
            "period": shape.period_of(question.period, dimensions),
            "compared_period": shape.period_of(other, dimensions) if other is not None else None,
            "as_of": table.as_of,
            "file": shape.files_of(question),
        }
        return answered(said)

    async def _csv(self, request: web.Request) -> web.Response:
        asked = decoded(request.query.get("q", ""))
        question = await self.question(viewer_of(request), asked)
        body = csv.written(await self.whole(question))
        period = question.period
        name = f"{question.site}_{asked.panel}_{period.since}_{period.until}.csv"
        headers = {
            hdrs.CONTENT_TYPE: "text/csv; charset=utf-8",
            hdrs.CONTENT_DISPOSITION: f'attachment; filename="{name}"',
        }
        return web.Response(body=body, headers=headers)

    def site(self, viewer: Viewer, name: str) -> SiteView:
        """Returns a site that a viewer may see, with what the viewer may know of it. Raises Unknown."""
        return reach.known(viewer.site(self._sites, name), viewer, int(self._now()))

    async def question(self, viewer: Viewer, asked: PanelRequest) -> Question | FileQuestion:
        """Returns the question that a viewer asks. Raises Unknown, Forbidden, Refused and Unanswered."""
        site, now = self.site(viewer, asked.site), int(self._now())
        panel_of(asked)
        first = (await self.bounds(site.name)).first if asked.period == "all" else None
        period = reach.bounded(period_of(asked.period, site.zone, now, first), viewer, now)
        return reach.reached(question_of(asked, site, period, now), viewer, site, now)

    async def answered(self, question: Question | FileQuestion) -> Answer:
        """Returns the answer to a question. Raises Refused and Unanswered."""
        if isinstance(question, Question):
            return await answer(self._asker, question)
        return await answer_file(self._asker, question)

    async def whole(self, question: Question | FileQuestion) -> shape.Table:
        """Returns all rows of an answer, whatever its limit. Raises TooMuch for more than the setting allows."""
        is_paged = isinstance(question, Question) or "limit" in query_of(question.file).parameters
        found: shape.Table | None = None
        while True:
            page = replace(question, limit=LIMIT_MAX, offset=len(found.rows) if found is not None else 0)
            table = shape.table_of(page, await self.answered(page))
            if found is None:
                found = table
            else:
                found.rows.extend(table.rows)
                if found.compared is not None:
                    found.compared.extend(table.compared or ())
            if len(found.rows) > self._rows_max:
                sentence = f"This has more than {self._rows_max:,} rows (question_rows_max)"
                raise TooMuch(f"{sentence}: ask for a shorter period.")
            if len(table.rows) < LIMIT_MAX or not is_paged:
                return found

    async def bounds(self, site: str) -> Bounds:
        """Returns between which moments a site has events. Raises Unanswered."""
        first, last, events, currencies = (await self.plain("bounds", BOUNDS_SECONDS, site=site))[0]
        return Bounds(first, last, currencies) if events else Bounds(None, None, [])

    async def last_received(self) -> int:
        """Returns when the newest event of all sites was received (unix s), 0 for never. Raises Unanswered."""
        now = int(self._now()) // FRESH_SECONDS * FRESH_SECONDS
        return int((await self.plain("freshness", FRESH_SECONDS, now=now))[0][0])

    async def plain(self, file: str, remembered_seconds: int, **parameters: Any) -> list[list[Any]]:
        """Returns the rows of a file as it stands. Raises Unanswered."""
        query = query_of(file)
        statement = Statement(
            file=file,
            sql=query.sql,
            parameters=parameters,
            seconds=query.seconds,
            remembered_seconds=remembered_seconds,
        )
        return (await self._asker(statement)).rows
