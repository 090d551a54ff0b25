"""Declares what the rooms of the dashboard say to each other: a period, a question, an answer, and why there is none.

A question is of numbers by name (`visitors`, `bounce_rate`) and says nothing of files. The room `ask` finds the
files of the catalogue that have these numbers, asks each, and joins what they say. Every face (page, downloads, Stats API)
asks it and adds words and shapes, never arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import msgspec

from dashboard.catalogue.filters import Filter

Value = str | int | float | list[str] | list[int]
ALWAYS = 4_294_967_295  # unix s: no row is later


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """Holds local days of a site, both included, and their zone.

    `before` (unix s, a whole quarter of an hour) cuts off a period that is compared with one that is still running.
    `starts` and `ends` (unix s, the end excluded) are those of a period that does not begin and end at midnight.
    `is_running`: it has the present moment in it, so its numbers still grow.
    """

    since: date
    until: date
    zone: str
    before: int = ALWAYS
    starts: int | None = None
    ends: int | None = None
    is_running: bool = False


class FileQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """Holds a question to one file of the catalogue.

    `parameters` are those that only this file has (`name`, `unit`, `window_ms`). `order` has columns of the file, each with
    whether it descends; empty is the file's own order. `interval` is the unit of a `time` dimension.
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


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Holds a question of numbers by name, by dimensions; without dimensions it is one row of totals.

    `compare` is a second period: each row then has the same numbers of it. `interval` is `hour`, `day`, `week` or `month`
    where `time` is a dimension.
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


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Holds rows, and when they were true (`as_of`, unix s).

    `columns` are dimensions and then numbers, in the order of the question. `compared` has the rows of the period that it
    is compared with, by the same dimensions, in the order of `rows` (None where there is none). `total` is how many rows
    there are without limit, where it was asked for.
    """

    columns: tuple[str, ...]
    rows: list[list[Any]]
    as_of: int
    compared: list[list[Any] | None] | None = None
    total: int | None = None


class Refused(ValueError):
    """Says that a question can't be asked, in one sentence for whoever asked it: HTTP 400."""


class Unanswered(Exception):
    """Says that a question has no answer now, in one sentence. `status` is HTTP's, `retry_after` in seconds, 0 for none."""

    status = 503
    retry_after = 2


class Busy(Unanswered):
    """Says that too many questions wait."""

    retry_after = 1


class Away(Unanswered):
    """Says that ClickHouse does not answer, or that a process between does not."""


class TooSlow(Unanswered):
    """Says that the question took longer than it may."""

    status = 504
    retry_after = 0


class TooMuch(Unanswered):
    """Says that the question needs more memory or has more rows than it may."""

    status = 504
    retry_after = 0
