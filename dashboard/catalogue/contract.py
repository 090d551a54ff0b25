"""Declares what the rooms of the dashboard exchange: periods, questions, answers, and the errors that say why there is no answer.

A question names metrics (`visitors`, `bounce_rate`) and dimensions, but no files. The room `ask` finds the files of the catalogue that have
the numbers, asks each, and joins their answers. The page, the downloads and the Stats API add words and shapes, but never compute.

    await answer(asker, Question(...))           metrics by dimensions (`answers` in the room `ask`)
    await answer_file(asker, FileQuestion(...))  one file of the catalogue (the same module)
    await asker(Statement(...))                  one SELECT, answered by ClickHouse or by the cache

The modules `dimensions` and `measures` list the names of dimensions and metrics. Time is a dimension with a unit: `time:hour`, `time:day`,
`time:week`, `time:month`; `time` alone takes the unit that suits the length of the period. A property is `props.NAME`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from datetime import date
from typing import Any, Protocol

import msgspec

from dashboard.catalogue.filters import Filter
from dashboard.catalogue.values import Value, Values

ALWAYS = 4_294_967_295  # unix s: no row is later


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """Holds local days of a site, both included, and their zone.

    `before` (unix s, a whole quarter of an hour) cuts off a period that is compared with one that is still running.
    `starts` and `ends` (unix s, the end excluded) are set if the period does not begin and end at midnight.
    `is_running`: the present moment lies in it, so its numbers still grow.
    """

    since: date
    until: date
    zone: str
    before: int = ALWAYS
    starts: int | None = None
    ends: int | None = None
    is_running: bool = False


class Goals(Protocol):
    """Knows the goals of a site, as they stand in its record."""

    @property
    def names(self) -> tuple[str, ...]:
        """Returns the names of the goals in the order of the record; empty if it has none."""

    def condition(self, name: str, values: Values) -> str:
        """Returns the condition on a row `e` of events under which it reaches a goal: an expression that is 0 or 1.

        `name` is the name of a goal of the record, or the text of one (`Visit /thanks`, `purchase`). Every text of a user is
        handed to `values`, which returns its placeholder in the SQL. Raises Refused for a goal that is not set up.
        """


class EveryName:
    """Stands for the goals of a site whose record has none: each event with a name of its own is a goal by that name."""

    names: tuple[str, ...] = ()

    def condition(self, name: str, values: Values) -> str:
        """Returns the condition that an event has this name."""
        return f"e.name = {values.text(name)}"


class FileQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """Holds a question to one file of the catalogue.

    `parameters` are those that only this file has (`name`, `unit`, `window_ms`). `order` has pairs of a column and whether it
    descends; if it is empty, the file's own order holds. `steps` are names or texts of goals, for the file `funnel`.
    """

    file: str
    site: str
    period: Period
    filters: Filter | None = None
    dimensions: tuple[str, ...] = ()
    order: tuple[tuple[str, bool], ...] = ()
    limit: int = 100
    offset: int = 0
    bots: bool = False
    parameters: Mapping[str, Value] = {}
    goals: Goals = EveryName()
    steps: tuple[str, ...] = ()


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Holds a question for metrics by dimensions. Without dimensions the answer is one row of totals.

    `compare` is a second period: each row then has the same numbers of it. `is_filled` gives a series a row for each bucket of
    the period, and a table of goals one for each goal, also where nothing happened: counts are 0 there, rates None. `with_total` counts the rows there are without
    limit. `order` has metrics or dimensions of the question, each with whether it descends; empty is by time, else by the
    first metric, descending.
    """

    site: str
    period: Period
    metrics: tuple[str, ...]
    dimensions: tuple[str, ...] = ()
    filters: Filter | None = None
    order: tuple[tuple[str, bool], ...] = ()
    limit: int = 100
    offset: int = 0
    bots: bool = False
    compare: Period | None = None
    goals: Goals = EveryName()
    is_filled: bool = False
    with_total: bool = False


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Holds the rows of an answer. `as_of` (unix s) is when ClickHouse answered.

    `columns` are dimensions and then numbers, in the order of the question. `compared` has the rows of the period that it
    is compared with, by the same dimensions, in the order of `rows` (None where there is none). `total` is how many rows
    there are without limit, where it was asked for.
    """

    columns: tuple[str, ...]
    rows: list[list[Any]]
    as_of: int
    compared: list[list[Any] | None] | None = None
    total: int | None = None


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """Holds one SELECT, without a format, and its parameters (`{name:Type}` in the SQL).

    `file` is the name of the catalogue's file, for metrics and messages. It may run for `seconds`, and its answer may be given to others
    for `remembered_seconds`. `rows_max` rows are returned at most, and no error if there are more; 0 leaves it to the setting.

    `is_foreign`: somebody else wrote the SQL, so what ClickHouse says against it is for that person. It runs in the database `forebay`.
    `zone` is that of its days, which copies of closed days must have, too; empty for what reads no copies.
    """

    file: str
    sql: str
    parameters: Mapping[str, Value]
    zone: str = ""
    seconds: int = 10
    remembered_seconds: int = 5
    rows_max: int = 0
    is_foreign: bool = False


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """Holds the answer of ClickHouse to a statement: integers as int, Decimal as text, tuples as lists; NaN is None. `as_of` in unix s.

    `total` is how many rows there are without the statement's limit.
    """

    columns: tuple[str, ...]
    rows: list[list[Any]]
    as_of: int
    total: int = 0
    read_rows: int = 0


class Asker(Protocol):
    """Answers statements: asks ClickHouse, or remembers what it answered."""

    def __call__(self, statement: Statement, /) -> Awaitable[Reply]:
        """Returns the answer to a statement. Raises Unanswered."""


class Refused(ValueError):
    """Says that a question can't be asked, in one sentence for whoever asked it: HTTP 400."""


class Unanswered(Exception):
    """Says in one sentence why a question has no answer now. `status` is HTTP's; `retry_after` is in seconds, 0 if trying again does not help."""

    status = 503
    retry_after = 2


class Busy(Unanswered):
    """Says that too many questions wait."""

    retry_after = 1


class Away(Unanswered):
    """Says that ClickHouse or Redis does not answer."""


class TooSlow(Unanswered):
    """Says that the question took longer than it may."""

    status = 504
    retry_after = 0


class TooMuch(Unanswered):
    """Says that the question needs more memory or has more rows than it may."""

    status = 504
    retry_after = 0


class Broken(Unanswered):
    """Says that ClickHouse can't read the question, which is a fault of ours."""

    status = 500
    retry_after = 0
