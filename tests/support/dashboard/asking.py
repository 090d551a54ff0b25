"""Asks the catalogue of a real engine, as the dashboard does, but without its edge and its cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import msgspec
from msgspec.structs import replace

from dashboard.ask.files import query_of
from dashboard.catalogue.compiler import compiled
from dashboard.catalogue.contract import FileQuestion, Period, Reply, Statement
from dashboard.catalogue.copied_days import DAYS, copies_of, days_of
from dashboard.catalogue.copies import has_copies, with_copies
from dashboard.catalogue.values import Value
from forebay.clickhouse import ClickHouse
from schemas.sql import literal

SETTINGS = {
    "output_format_json_quote_64bit_integers": "0",
    "output_format_json_quote_decimals": "1",
    "output_format_json_quote_denormals": "0",
}


class EngineAsker:
    """Asks statements one after the other, and keeps them in `asked`. Closed days are read from their copies."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self.asked: list[Statement] = []

    async def __call__(self, statement: Statement, /) -> Reply:
        """Returns the answer of the engine."""
        return self.now(statement)

    def copied(self, statement: Statement) -> Statement:
        """Returns the statement that reads copies of the days that are closed now."""
        if not statement.zone or not has_copies(statement.sql):
            return statement
        given = {"site": statement.parameters["site"], "zone": statement.zone}
        copies, have_acts = copies_of(self._asked(DAYS, given).rows)
        return replace(statement, sql=with_copies(statement.sql, days_of(copies, statement.parameters, have_acts)))

    def now(self, statement: Statement, **settings: str) -> Reply:
        """Returns the answer of the engine, with more settings."""
        self.asked.append(statement)
        statement = self.copied(statement)
        return self._asked(statement.sql, statement.parameters, **settings)

    def _asked(self, sql: str, given: Mapping[str, Value], **settings: str) -> Reply:
        parameters = {name: _written(value) for name, value in given.items()}
        text = self._clickhouse.run(f"{sql}\nFORMAT JSONCompact", parameters, **SETTINGS, **settings)
        answer = msgspec.json.decode(text)
        return Reply(
            columns=tuple(column["name"] for column in answer["meta"]),
            rows=answer["data"],
            as_of=0,
            total=answer.get("rows_before_limit_at_least", answer["rows"]),
            read_rows=answer["statistics"]["rows_read"],
        )


def _written(value: Value) -> str | int:
    """Returns a value as a parameter has it."""
    if isinstance(value, list):
        return f"[{', '.join(literal(one) if isinstance(one, str) else str(one) for one in value)}]"
    return value if isinstance(value, int) else str(value)


def days(since: date, until: date, zone: str) -> Period:
    """Returns a period of whole days that has ended."""
    return Period(since=since, until=until, zone=zone)


def rows_of(
    clickhouse: ClickHouse, file: str, site: str, period: Period, columns: Sequence[str] = (), **more: Any
) -> list[Any]:
    """Returns the rows of one file of the catalogue."""
    question = FileQuestion(file=file, site=site, period=period, **more)
    return EngineAsker(clickhouse).now(compiled(query_of(file), question, columns=columns)).rows
