"""The view `identities`: under which visitors a person was seen, as the events of collected requests say it."""

from __future__ import annotations

import json
from typing import Any

from forebay.clickhouse import ClickHouse
from ingest.dialects.event import Limits
from ingest.dialects.native import Native
from ingest.dialects.table import TableRow
from tests.support.collecting import NOON, Bench


class Owning(Native):
    """A dialect whose SDK numbers visitors."""

    name, route, owns_visitors = "owning", "/own", True


async def test_earlier_visitors_of_a_person_are_found(clickhouse: ClickHouse) -> None:
    """Before somebody is known, as who they are known, and as whom they were known before; of one site only."""
    bench = await Bench(
        routes=[TableRow("POST", "/own", Owning(Limits())), TableRow("POST", "/f", Native(Limits()))]
    ).ready()

    def send(*events: dict[str, Any], target: bytes = b"/own") -> list[int]:
        at = [{"url": "https://example.com/", "ts": NOON - (9 - i) * 60_000} | event for i, event in enumerate(events)]
        rows = [row for _, row in bench.post(at, target=target).rows]
        assert len(rows) == len(events)
        for row in rows:
            said = {
                "site": row.site, "name": row.name, "ts": row.ts / 1_000, "visitor_id": row.visitor_id, "user_id": row.user_id,
                "props": row.props, "dialect": row.dialect,
            }  # fmt: skip
            clickhouse.run(f"INSERT INTO forebay.events ({', '.join(said)}) FORMAT JSONEachRow {json.dumps(said)}")
        return [row.visitor_id for row in rows]

    anonymous, telephone, other = send(
        {"visitor": "anon"},
        {"visitor": "telephone", "user": "ada", "name": "identify"},
        {"visitor": "anon", "user": "ada", "site": "other.example"},
    )
    named, again, _, _ = send(
        {"visitor": "anon", "user": "ada", "name": "identify"},
        {"visitor": "anon", "user": "ada", "name": "signup"},
        {"visitor": "anon", "user": "ada@new", "name": "alias", "props": {"previous_id": "ada"}},
        {"visitor": "other"},
    )
    assert anonymous == named == again != other
    [tracked] = send({"user": "ada"}, target=b"/f")
    found = clickhouse.run(
        "SELECT visitor_id, user_id, previous_id, dialect, events, dateDiff('minute', first_at, last_at) FROM forebay.identities"
        " WHERE site = 'example.com' ORDER BY user_id, dialect, events"
    )
    assert [line.split("\t") for line in found.splitlines()] == [
        [str(tracked), "ada", "", "native", "1", "0"],
        [str(telephone), "ada", "", "owning", "1", "0"],
        [str(anonymous), "ada", "", "owning", "2", "1"],
        [str(anonymous), "ada@new", "ada", "owning", "1", "0"],
    ]
    joined = clickhouse.run(
        "SELECT count() FROM forebay.events AS e INNER JOIN (SELECT DISTINCT site, visitor_id FROM forebay.identities"
        " WHERE user_id = 'ada') AS i ON e.site = i.site AND e.visitor_id = i.visitor_id WHERE e.site = 'example.com'"
    )
    assert joined.strip() == "6"
