"""`python -m tests.cookbook`: writes docs/querying.md, the catalogue of the dashboard as pages of SQL with an example answer each.

The page is made of the catalogue itself, so that what an analyst pastes is what the dashboard asks; a test makes it again and
compares. The examples are asked of the made-up sites of tests/support/dashboard.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from dashboard.ask.files import catalogue
from dashboard.catalogue.contract import Period
from dashboard.catalogue.periods import parameters
from dashboard.catalogue.query import Query
from forebay.clickhouse import ClickHouse
from forebay.commands.migrate import migrate
from schemas.sql import literal
from tests.support.dashboard.crowd import world
from tests.support.dashboard.seed import insert
from tests.support.engine import EngineProcess

PAGE = Path(__file__).resolve().parent.parent / "docs" / "querying.md"
ROWS_SHOWN = 5
# The order in which an analyst looks for things; a file that is in no group is a fault.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "How many": ("counts", "visits", "matched", "live", "durations"),
    "Pages": ("pages", "page_times", "not_found", "links"),
    "Events, goals and people": ("events", "properties", "goals", "funnel", "retention"),
    "Money": ("revenue", "campaigns"),
    "How quick pages are": ("vitals", "vital_shares"),
    "Programs": ("assistants", "crawlers", "bots", "bot_series"),
    "The installation": ("sites", "sites_today", "bounds", "latest", "freshness", "stored_minutes"),
}
HEAD = """# Querying

<!-- made by `make querying` of the files in dashboard/queries; edit those -->

Each number of the dashboard and of the [Stats API](stats-api.md) is defined by one of the files in [dashboard/queries](../dashboard/queries).
Here they are as SQL that you can paste, with values written in and the answer on the sites that the tests use. [Your BI](your-bi.md) says
how to ask them from notebooks and other tools, [Visits](visits.md) what a visit and a bounce are, and
[Local time](how-to/ask-in-local-time.md) how to write questions of your own.

A file is valid SQL with query parameters (`{site:String}`), so it also runs as it is in whatever sends parameters to ClickHouse:

```python
import clickhouse_connect

client = clickhouse_connect.get_client(host="127.0.0.1", port=8123)
sql = open("dashboard/queries/retention.sql").read()
days = {
    "zone": "Europe/Berlin",
    "since": "2026-03-01",
    "until": "2026-03-31",
    "first_day": "2026-02-28",
    "last_day": "2026-03-31",
}
frame = client.query_df(
    sql, parameters={"site": "example.com", "bots": 0, "before": 4294967295, "unit": "week", **days}
)
```

| parameter | is |
|---|---|
| `site`, `zone` | the site's name and its time zone |
| `since`, `until` | local dates, both included; they decide which rows count |
| `first_day`, `last_day` | the UTC dates of the first and the last moment of these days, so that ClickHouse reads no others. A day more on each side does no harm |
| `first_whole`, `last_whole` | the first and the last UTC date that lies wholly between the local midnights |
| `first_session`, `end_session` | unix seconds a day before the first moment and a day after the last, each `* 4294967296`: they prune visits as the days prune rows |
| `before` | unix second before which rows count; 4294967295 for all |
| `bots` | 1 counts what looks automated, too |
| `limit`, `offset` | which rows of a table |

Each file has marked places (`/*dimension*/ s.site /*end*/`), which the dashboard fills with a column of its table of dimensions. Below stands what it has without
a dimension: one row for the whole site. To ask by country, write `s.country` in its place.
"""


def filled(query: Query) -> str:
    """Returns the SQL of a file with the values of its example written in."""
    values: dict[str, Any] = {"bots": 0, "limit": 10, "offset": 0, "numbers": [1, 2]}
    example = dict(query.example)
    if "since" in example and "zone" in example:
        since, until = (date.fromisoformat(example[name]) for name in ("since", "until"))
        values |= parameters(Period(since=since, until=until, zone=example["zone"]))
    values |= example
    return re.sub(r"\{(\w+):([^{}]+)\}", lambda found: _written(values[found[1]], found[2]), query.with_marks({}))


def fill(clickhouse: ClickHouse) -> None:
    """Puts the visits of the made-up sites into empty tables."""
    sql, body = insert(world())
    clickhouse.run(f"{sql}\n{body.decode()}", max_partitions_per_insert_block="1000")


def page(clickhouse: ClickHouse) -> str:
    """Returns the page, with answers of this ClickHouse."""
    queries = catalogue()
    grouped = [name for names in GROUPS.values() for name in names]
    if sorted(grouped) != sorted(queries):
        raise ValueError(f"GROUPS and the catalogue differ: {sorted(set(grouped) ^ set(queries))}")
    lines = [HEAD]
    for group, names in GROUPS.items():
        lines.append(f"## {group}\n")
        for name in names:
            lines.extend(_section(queries[name], clickhouse))
    return "\n".join(lines).rstrip() + "\n"


def _section(query: Query, clickhouse: ClickHouse) -> Iterator[str]:
    sql = filled(query)
    yield f"### {query.title}\n"
    yield f"`{query.name}.sql` · {query.answers}"
    yield f"It leaves out {query.leaves_out}\n"
    yield f"```sql\n{sql}\n```\n"
    rows = clickhouse.rows(sql)
    yield f"| {' | '.join(query.columns)} |"
    yield f"|{'---|' * len(query.columns)}"
    for row in rows[:ROWS_SHOWN]:
        yield f"| {' | '.join(_cell(row[column]) for column in query.columns)} |"
    if len(rows) > ROWS_SHOWN:
        yield f"\n{ROWS_SHOWN} of {len(rows)} rows."
    yield ""


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.replace("|", "\\|")


def _written(value: Any, kind: str) -> str:
    """Returns a value as ClickHouse reads it in a statement."""
    if isinstance(value, list):
        return str(value)
    if re.match(r"U?Int|Float", kind):
        return str(value)
    return f"toDate({literal(str(value))})" if kind == "Date" else literal(str(value))


def main() -> None:
    """Writes the page, with answers of an engine of its own."""
    with tempfile.TemporaryDirectory() as data:
        engine = EngineProcess(Path(data))
        try:
            migrate(engine.tools.run)
            fill(engine.tools)
            PAGE.write_text(page(engine.tools), "utf-8")
        finally:
            engine.close()


if __name__ == "__main__":
    main()
