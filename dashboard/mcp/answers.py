"""Answers the calls of tools: it makes questions of their arguments, and texts of the answers. The numbers are those of the page.

Whoever calls may read some sites. A site that does not exist and one that may not be read are the same sentence. What can't be asked, or has
no answer now, is a sentence too (`Sorry`), which the assistant reads and can act on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import Meta

from dashboard.access.viewer import Viewer
from dashboard.ask.answers import answer, answer_file
from dashboard.ask.files import catalogue, query_of
from dashboard.catalogue.contract import Answer, Asker, FileQuestion, Period, Question, Refused, Statement, Unanswered
from dashboard.catalogue.filter_json import from_json
from dashboard.catalogue.goals import goals_of
from dashboard.catalogue.periods import days, today
from dashboard.mcp.arguments import METRICS, ROWS, ROWS_MAX, SITES, SQL, Tool, own, tools
from dashboard.mcp.guard import check_text, check_tree
from dashboard.mcp.written import written
from dashboard.sites.records import SiteView
from dashboard.web.panel_request import period_of
from dashboard.web.shape import table_of

SQL_SECONDS = 10
TREE_ROWS_MAX = 5_000
NOW_SECONDS = 5
NOT_OURS = (
    "This is the answer to SQL that was written for this question. It is NOT a number of the dashboard's catalogue: it may count bots, people"
    " twice, or days of another time zone. Say so when you tell it."
)
OURS = "Numbers as the dashboard shows them."


class Sorry(Exception):
    """Says in one sentence why a call has no answer."""


class Sites(Protocol):
    """Knows the sites."""

    async def read(self) -> None:
        """Reads them, if the last look is not of this second. Raises Away."""

    def get(self, name: str) -> SiteView | None:
        """Returns the site of a name."""

    def names(self) -> list[str]:
        """Returns the names of all sites that are registered or named in the settings."""


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """Holds the arguments that tools share; those of a file alone are in `own`."""

    site: str = ""
    period: str = "28d"
    metrics: tuple[str, ...] = ()
    dimensions: Annotated[tuple[str, ...], Meta(max_length=3)] = ()
    filters: list[Any] = []
    bots: bool = False
    limit: Annotated[int, Meta(ge=1, le=ROWS_MAX)] = ROWS
    offset: Annotated[int, Meta(ge=0)] = 0
    steps: tuple[str, ...] = ()
    query: str = ""


GIVEN = frozenset(Given.__struct_fields__)


class Answers:
    """Answers calls."""

    def __init__(
        self,
        *,
        asker: Asker,
        sites: Sites,
        now: Callable[[], float] = time.time,
        counted: Callable[[str, str], None] = lambda tool, result: None,
    ) -> None:
        """Takes what is told of each call (`counted`): its tool, "" for one that there is not, and `answered`, `sorry` or `failed`."""
        self._asker = asker
        self._counted = counted
        self._sites = sites
        self._now = now

    def offered(self, viewer: Viewer) -> list[Tool]:
        """Returns the tools that somebody may call."""
        return [tool for tool in tools(catalogue()) if not tool.is_of_all or viewer.reads_every_site]

    async def call(self, name: str, said: Mapping[str, Any], viewer: Viewer) -> str:
        """Returns the text of the answer to a call, and counts it. Raises Sorry."""
        result = "failed"
        try:
            text = await self._answered(name, said, viewer)
            result = "answered"
        except Sorry:
            result = "sorry"
            raise
        finally:
            self._counted(name if any(tool.name == name for tool in tools(catalogue())) else "", result)
        return text

    async def _answered(self, name: str, said: Mapping[str, Any], viewer: Viewer) -> str:
        tool = next((tool for tool in self.offered(viewer) if tool.name == name), None)
        if tool is None:
            raise Sorry(f"There is no tool {name[:100]!r}.")
        try:
            given = _given(tool, said)
            await self._sites.read()
            if name == SITES:
                return self._listed(viewer)
            if name == SQL:
                return await self._sql(given.query)
            if name == METRICS:
                return await self._metrics(given, viewer)
            return await self._file(name, given, said, viewer)
        except (Refused, Unanswered) as error:
            raise Sorry(str(error)) from error

    def _listed(self, viewer: Viewer) -> str:
        views = [self._sites.get(name) for name in self._sites.names() if viewer.reads(name)]
        rows = [[view.name, view.zone] for view in views if view is not None]
        return written(("site", "timezone"), rows[:ROWS_MAX], [], more=_more(len(rows) > ROWS_MAX, ROWS_MAX))

    def _site(self, name: str, viewer: Viewer) -> SiteView:
        """Returns a site that may be read. Raises Sorry."""
        site = self._sites.get(name)
        if site is None or not viewer.reads(site.name):
            raise Sorry(f"There is no site {name[:100]!r} that you may read; {SITES} lists those that you may.")
        return site

    async def _metrics(self, given: Given, viewer: Viewer) -> str:
        site = self._site(given.site, viewer)
        question = Question(
            site=site.name,
            period=await self._period(site, given.period),
            metrics=given.metrics,
            dimensions=given.dimensions,
            filters=_filters(given, site),
            limit=given.limit + 1,
            offset=given.offset,
            bots=given.bots,
            goals=goals_of(site.record.goals),
        )
        return _text(question, await answer(self._asker, question), given, [OURS])

    async def _file(self, name: str, given: Given, said: Mapping[str, Any], viewer: Viewer) -> str:
        query = query_of(name)
        parameters = {one: said[one] for one in own(query)}
        if "now" in query.parameters:
            parameters["now"] = -(-int(self._now()) // NOW_SECONDS) * NOW_SECONDS
        notes = [f"{query.title}. {OURS} Leaves out: {query.leaves_out}"]
        if "site" not in query.parameters:
            limit = {"limit": given.limit, "offset": given.offset}
            shared = {one: value for one, value in limit.items() if one in query.parameters}
            asked = Statement(
                file=name,
                sql=query.sql,
                parameters={**parameters, **shared},
                seconds=query.seconds,
                rows_max=ROWS_MAX + 1,
            )
            reply = await self._asker(asked)
            more = _more(len(reply.rows) > ROWS_MAX, ROWS_MAX)
            return written(reply.columns, reply.rows[:ROWS_MAX], notes, more=more)
        site = self._site(given.site, viewer)
        question = FileQuestion(
            file=name,
            site=site.name,
            period=await self._period(site, given.period),
            filters=_filters(given, site),
            dimensions=given.dimensions,
            limit=given.limit + 1,
            offset=given.offset,
            bots=given.bots,
            parameters=parameters,
            goals=goals_of(site.record.goals),
            steps=given.steps,
        )
        return _text(question, await answer_file(self._asker, question), given, notes)

    async def _period(self, site: SiteView, text: str) -> Period:
        now = int(self._now())
        day = today(site.zone, now)
        first = None
        if text == "all":
            bounds = await answer_file(
                self._asker, FileQuestion(file="bounds", site=site.name, period=days(day, day, site.zone, now))
            )
            first_event, _, events, _ = bounds.rows[0]
            first = int(first_event) if events else None
        return period_of(text, site.zone, now, first)

    async def _sql(self, query: str) -> str:
        """Returns the answer to a SELECT of somebody else, once it was judged, alone and as a subquery."""
        check_text(query)
        for text in (query, f"SELECT * FROM (\n{query}\n)"):
            tree = await self._asker(_foreign(f"EXPLAIN AST {text}", TREE_ROWS_MAX))
            if len(tree.rows) >= TREE_ROWS_MAX:
                raise Refused("This query is too large to be judged.")
            check_tree([str(row[0]) for row in tree.rows])
        reply = await self._asker(_foreign(query, ROWS_MAX + 1))
        more = _more(len(reply.rows) > ROWS_MAX, ROWS_MAX)
        return written(reply.columns, reply.rows[:ROWS_MAX], [NOT_OURS], more=more)


def _foreign(sql: str, rows_max: int) -> Statement:
    return Statement(
        file="sql",
        sql=sql,
        parameters={},
        seconds=SQL_SECONDS,
        remembered_seconds=0,
        rows_max=rows_max,
        is_foreign=True,
    )


def _given(tool: Tool, said: Mapping[str, Any]) -> Given:
    """Returns the arguments of a call. Raises Sorry for those that the tool does not have, lacks, or can't read."""
    properties, required = tool.schema["properties"], tool.schema["required"]
    if unknown := [name for name in said if name not in properties]:
        raise Sorry(f"{tool.name} has no argument {unknown[0][:100]!r}. It has: {', '.join(properties) or 'none'}.")
    if missing := [name for name in required if name not in said]:
        raise Sorry(f"{tool.name} needs the argument {missing[0]!r}: {properties[missing[0]].get('description', '')}")
    for name, kind in ((name, properties[name].get("type")) for name in said):
        value = said[name]
        if kind == "integer" and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise Sorry(f"The argument {name!r} is a whole number that is not negative.")
        if kind == "string" and not isinstance(value, str):
            raise Sorry(f"The argument {name!r} is a text.")
    try:
        return msgspec.convert({name: value for name, value in said.items() if name in GIVEN}, Given)
    except msgspec.ValidationError as error:
        raise Sorry(f"The arguments can't be read: {error}.") from error


def _filters(given: Given, site: SiteView) -> Any:
    return from_json(given.filters, segments={one.id: one.filters for one in site.notes.segments})


def _text(question: Question | FileQuestion, answered: Answer, given: Given, notes: list[str]) -> str:
    """Returns the text of an answer, of which one row more was asked than is shown."""
    table = table_of(question, answered)
    period = question.period
    until = ", which is not over" if period.is_running else ""
    notes = [*notes, f"{question.site}, {period.since} to {period.until}{until}, {period.zone}."]
    limit = given.limit
    is_paged = isinstance(question, Question) or "limit" in query_of(question.file).parameters
    rows = table.rows[: limit if is_paged else ROWS_MAX]
    return written(table.columns, rows, notes, more=_more(len(table.rows) > len(rows), given.offset + len(rows)))


def _more(is_more: bool, offset: int) -> str:
    return f"There are more rows: ask with an offset of {offset}, or for a narrower question." if is_more else ""
