"""The Stats APIs over HTTP, and released programs that ask them. What `hand.example` has was counted on paper (tests/support/dashboard/hand.py)."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from dashboard.catalogue.contract import Away, TooSlow
from tests.support import redis_server
from tests.support.dashboard import stats_api
from tests.support.dashboard.stats_api import SITE, Client

server = redis_server.server
redis = redis_server.redis
client = stats_api.client

CUSTOM = "period=custom&date=2026-03-01,2026-03-03"
SECONDS_MAX = 60


async def test_totals(client: Client) -> None:
    """The numbers that were counted on paper, and those of a site on which nothing ever happened."""
    metrics = ("visitors", "visits", "pageviews", "events", "views_per_visit", "bounce_rate", "visit_duration")
    assert await client.rows(*metrics) == [[9, 7, 10, 16, 1.29, 43, 267]]
    assert await client.rows(*metrics, site_id="empty.example") == [[0, 0, 0, 0, None, None, None]]


@pytest.mark.parametrize(
    ("by", "rows"),
    [
        ("visit:source", [["Direct / None", 5], ["ChatGPT", 1], ["Google", 1], ["Newsletter", 1], ["X (Twitter)", 1]]),
        ("visit:country_name", [["Nepal", 3], ["United States", 3], ["Germany", 2], ["France", 1]]),
        ("visit:utm_campaign visit:utm_medium", [["(not set)", "(not set)", 8], ["spring", "email", 1]]),
        ("event:props:plan", [["(none)", 9], ["pro", 2], ["team", 1]]),
        ("event:goal", [["Paid", 1], ["Pricing", 1], ["signup", 1]]),
        ("visit:device", [["Desktop", 5], ["Laptop", 3], ["Mobile", 1]]),
        ("time:day", [["2026-03-01", 3], ["2026-03-02", 4], ["2026-03-03", 2]]),
    ],
)
async def test_dimensions(client: Client, by: str, rows: list[list[Any]]) -> None:
    """Names of countries, words for what is not there, two dimensions at once, properties, goals and days of the site."""
    assert await client.rows("visitors", by=tuple(by.split())) == rows


@pytest.mark.parametrize(
    ("filters", "visitors"),
    [
        ([["is", "visit:country", ["NP", "FR"]]], 4),
        ([["is", "visit:country_name", ["Nepal"]]], 3),
        ([["is_not", "visit:country", ["NP"]]], 6),
        ([["contains", "visit:city_name", ["FRANC"], {"case_sensitive": False}]], 3),
        ([["contains_not", "visit:city_name", ["Franc"]]], 6),
        ([["matches", "event:page", ["^/(docs|shop)$"]]], 3),
        ([["matches_wildcard", "event:page", ["/bl*"]]], 1),
        ([["is", "visit:source", ["Direct / None"]]], 5),
        ([["is", "visit:utm_source", ["(not set)"]]], 8),
        ([["is", "event:goal", ["Paid"]]], 1),
        ([["has_done", ["is", "event:goal", ["signup"]]]], 1),
        ([["or", [["is", "event:goal", ["Paid"]], ["is", "visit:country", ["FR"]]]]], 2),
        ([["and", [["is", "visit:country", ["NP"]], ["not", ["is", "event:page", ["/"]]]]]], 2),
        ([["is", "segment", [1]]], 2),
        ([["is", "event:props:plan", ["pro"]], ["is", "visit:country", ["US"]]], 1),
        ([["is", "event:page", ["' OR 1 = 1 --"]]], 0),
    ],
)
async def test_filters(client: Client, filters: list[Any], visitors: int) -> None:
    """Each operator and each way to combine them finds the people who were counted by hand."""
    assert await client.rows("visitors", filters=filters) == [[visitors]]


async def test_a_part_of_the_rows(client: Client) -> None:
    """Rows are ordered, limited and counted as they are asked for."""
    more: dict[str, Any] = {
        "order_by": [["event:page", "desc"]],
        "pagination": {"limit": 2, "offset": 1},
        "include": {"total_rows": True},
    }
    said = await client.query(dimensions=["event:page"], metrics=["pageviews"], **more)
    assert [row["dimensions"] for row in said["results"]] == [["/pricing"], ["/missing"]]
    assert said["meta"] == {"total_rows": 6}


async def test_empty_buckets_are_labels_alone(client: Client) -> None:
    """Hours of a day are in local time, and those in which nothing happened are left out of the rows."""
    one_day = ["2026-03-01", "2026-03-01"]
    said = await client.query(dimensions=["time:hour"], date_range=one_day, include={"time_labels": True})
    assert [row["dimensions"][0][11:13] for row in said["results"]] == ["10", "12", "23"]
    assert len(said["meta"]["time_labels"]) == 24
    assert said["query"]["date_range"] == ["2026-03-01T00:00:00+05:45", "2026-03-01T23:59:59+05:45"]


async def test_a_comparison(client: Client) -> None:
    """Each row has the numbers of the other period, and how much they grew."""
    said = await client.query(
        metrics=["visitors", "bounce_rate"],
        date_range=["2026-03-02", "2026-03-02"],
        include={"compare": "previous_period"},
    )
    assert said["results"] == [
        {"metrics": [4, 50], "dimensions": [], "comparison": {"metrics": [3, 33], "change": [33, 17]}}
    ]


async def test_moments(client: Client) -> None:
    """A range of moments has the events between them, both ends included; `24h` ends now."""
    noon = ["2026-03-02T11:00:00+05:45", "2026-03-02T11:05:00+05:45"]
    assert await client.rows("pageviews", "events", date_range=noon) == [[1, 2]]
    assert await client.rows("pageviews", date_range="24h") == [[2]]


async def test_all(client: Client) -> None:
    """All of a site begins with its first event, and that of one without events is today."""
    said = await client.query(date_range="all")
    assert said["results"][0]["metrics"] == [9]
    assert said["query"]["date_range"] == ["2026-03-01T00:00:00+05:45", "2026-03-03T23:59:59+05:45"]
    nothing = await client.query(date_range="all", site_id="empty.example")
    assert nothing["query"]["date_range"][0] == "2026-03-03T00:00:00+05:45"


async def test_money(client: Client) -> None:
    """One currency is an object, two are null with a warning: they are never added up."""
    rows = await client.rows("total_revenue", "average_revenue", by=("event:props:plan",))
    dollars = {"value": 20, "currency": "USD", "short": "$20.0", "long": "$20.00"}
    euros = {"value": 5.5, "currency": "EUR", "short": "€5.5", "long": "€5.50"}
    assert rows == [["pro", dollars, dollars], ["team", euros, euros]]
    said = await client.query(metrics=["total_revenue"])
    assert said["results"][0]["metrics"] == [None]
    assert said["meta"]["metric_warnings"]["total_revenue"]["code"] == "no_single_revenue_currency"


async def test_v1(client: Client) -> None:
    """The four routes of the first API have the same numbers, in its shapes."""
    assert await client.get(f"realtime/visitors?site_id={SITE}") == 1
    assert await client.get(
        f"aggregate?site_id={SITE}&{CUSTOM}&metrics=visitors,bounce_rate&compare=previous_period"
    ) == {"results": {"visitors": {"value": 9, "change": 100}, "bounce_rate": {"value": 43, "change": None}}}
    assert await client.get(
        f"timeseries?site_id={SITE}&period=custom&date=2026-03-03,2026-03-04&metrics=visits,bounce_rate"
    ) == {
        "results": [
            {"date": "2026-03-03", "visits": 2, "bounce_rate": 50},
            {"date": "2026-03-04", "visits": 0, "bounce_rate": None},
        ]
    }
    assert await client.get(f"breakdown?site_id={SITE}&{CUSTOM}&property=visit:source&limit=2&page=2") == {
        "results": [{"source": "Google", "visitors": 1}, {"source": "Newsletter", "visitors": 1}]
    }
    assert await client.get(f"aggregate?site_id={SITE}&{CUSTOM}&filters=visit:source==(Direct%20/+None)") == {
        "results": {"visitors": {"value": 5}}
    }
    assert await client.get("aggregate?site_id=empty.example&metrics=visitors,bounce_rate") == {
        "results": {"visitors": {"value": 0}, "bounce_rate": {"value": None}}
    }


@pytest.mark.parametrize(
    ("headers", "site", "status", "said"),
    [
        ({}, SITE, 401, "Missing API key: send it as a Bearer token."),
        ({"Authorization": "Bearer fbk_x"}, SITE, 401, "Invalid API key or site ID: this key cannot read this site."),
        (None, "shop.example", 401, "Invalid API key or site ID: this key cannot read this site."),
        (None, "no-such.example", 401, "Invalid API key or site ID: this key cannot read this site."),
        (None, "x" * 5_000, 401, "Invalid API key or site ID: this key cannot read this site."),
        (None, "\0é\n/..", 401, "Invalid API key or site ID: this key cannot read this site."),
        (None, "", 400, "Missing site ID: give site_id."),
    ],
)
async def test_who_is_answered(client: Client, headers: Any, site: str, status: int, said: str) -> None:
    """Only a key that may read the site, and nobody learns which sites there are."""
    client.headers = client.headers if headers is None else headers
    assert await client.query(site_id=site, status=status) == {"error": said}
    assert await client.get(f"aggregate?site_id={quote(site)}", status=status) == {"error": said}


async def test_the_sites_of_a_key(client: Client) -> None:
    """They have their zones; without a key there is no list."""
    async with client.session.get("/api/v1/sites", headers=client.headers) as answer:
        assert (await answer.json())["sites"] == [
            {"domain": "empty.example", "timezone": "Asia/Kathmandu"},
            {"domain": "hand.example", "timezone": "Asia/Kathmandu"},
        ]
        assert answer.headers["X-RateLimit-Remaining"] == "9999"
    async with client.session.get("/api/v1/sites") as answer:
        assert (answer.status, await answer.json()) == (401, {"error": "Missing API key: send it as a Bearer token."})


async def test_a_key_says_how_often_it_may_ask(client: Client) -> None:
    """Each answer has what is left, also one that refuses; then nothing is answered until the hour is over."""
    client.hold(await client.key(SITE, rate=2))
    left = []
    waits = []
    for path in ("realtime/visitors", "breakdown", "aggregate"):
        async with client.session.get(
            f"/api/v1/stats/{path}", params={"site_id": SITE}, headers=client.headers
        ) as answer:
            left.append((answer.status, answer.headers["X-RateLimit-Limit"], answer.headers["X-RateLimit-Remaining"]))
            waits.append(int(answer.headers.get("Retry-After", 0)) > 0)
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert left == [(200, "2", "1"), (400, "2", "0"), (429, "2", "0")]
    assert waits == [False, False, True]


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        (b"{", "application/json", 400, "The body is no JSON"),
        (b"[" * 60_000, "application/json", 400, "The body is no JSON"),
        (b"[]", "application/json", 400, "A question is an object with site_id, date_range and metrics, not []."),
        (b'{"site_id": 3}', "application/json", 400, "site_id is a text, not 3."),
        (b"{}", "application/json", 400, "Missing site ID: give site_id."),
        (b"{}", "text/plain", 415, "Send the question as JSON, with Content-Type: application/json."),
        (b" " * 65_537, "application/json", 413, "A question has at most 64 KiB."),
    ],
)
async def test_what_is_no_question(client: Client, body: bytes, kind: str, status: int, said: str) -> None:
    """Whatever is sent, the answer is one sentence in JSON."""
    async with client.session.post("/api/v2/query", data=body, headers={"Content-Type": kind}) as answer:
        assert (answer.status, said in (await answer.json())["error"]) == (status, True)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


async def test_metrics_of_visits_have_no_properties(client: Client) -> None:
    """What can't be counted is refused by the name that it has in this API."""
    said = await client.query(metrics=["bounce_rate"], dimensions=["event:props:plan"], status=400)
    assert said == {"error": "The metric 'bounce_rate' is of visits and can't be asked by 'event:props:plan'."}
    said = await client.query(filters=[["is", "event:goal", ["Nope"]]], status=400)
    assert "The goal 'Nope' is not set up; these are: 'signup', 'Pricing', 'Paid'." in said["error"]
    assert await client.get("aggregate?site_id=%ff%fe", status=401)
    given = f"aggregate?site_id={SITE}&site_id=other.example"
    assert await client.get(given, status=400) == {"error": 'The parameter "site_id" is given twice.'}


@pytest.mark.parametrize(
    ("error", "status", "wait"), [(Away("ClickHouse does not answer."), 503, "2"), (TooSlow("Too slow."), 504, None)]
)
async def test_without_an_answer(client: Client, error: Exception, status: int, wait: str | None) -> None:
    """What ClickHouse can't say now is said with the status that fits, to pages of other sites too."""
    client.asking.error = error
    question = {"site_id": SITE, "date_range": "day", "metrics": ["visitors"]}
    async with client.session.post("/api/v2/query", json=question, headers=client.headers) as answer:
        assert (answer.status, await answer.json()) == (status, {"error": str(error)})
        assert answer.headers.get("Retry-After") == wait
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


async def test_pages_of_other_sites_may_ask(client: Client) -> None:
    """A browser is told so before it sends a key, and never to send a cookie."""
    foreign = {"Origin": "https://other.example", "Sec-Fetch-Site": "cross-site"}
    for path in ("/api/v2/query", "/api/v1/stats/aggregate"):
        async with client.session.options(path, headers=foreign) as answer:
            assert answer.status == 204
            assert answer.headers["Access-Control-Allow-Headers"] == "Authorization, Content-Type"
            assert "Access-Control-Allow-Credentials" not in answer.headers
    async with client.session.get(
        "/api/v1/stats/aggregate", params={"site_id": SITE}, headers=foreign | client.headers
    ) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/api/v2/query", 405, "Ask /api/v2/query by POST."),
        ("POST", "/api/v1/stats/aggregate", 405, "Ask /api/v1/stats/aggregate by GET."),
        (
            "GET",
            "/api/v1/stats/funnel",
            404,
            "There is nothing here. There are: /api/v2/query, /api/v1/stats/realtime/visitors",
        ),
    ],
)
async def test_elsewhere(client: Client, method: str, path: str, status: int, said: str) -> None:
    """Another method or another path is told what there is."""
    async with client.session.request(method, path) as answer:
        assert answer.status == status
        assert said in (await answer.json())["error"]


def installed(checkout: Path, name: str) -> Path:
    """Returns the folder in which `make consumers` has put a program. Without it the test is left out, or fails in CI."""
    found = checkout / ".venv" / "consumers" / name
    if not found.is_dir() or not list(found.parent.glob(".installed-*")):
        said = f"{name} is not installed: make consumers"
        if os.environ.get("CI"):
            pytest.fail(said)
        pytest.skip(said)
    return found


async def said_by(
    folder: Path, arguments: list[str], home: Path, asked: Sequence[dict[str, Any]] = (), **environment: str
) -> list[Any]:
    """Returns the lines of JSON that a program wrote: all of them, or as many as there are requests that have an id.

    It finds what is in its folder, and nothing else that is installed.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-S", *arguments,
        env={"PYTHONPATH": str(folder), "HOME": str(home), "DO_NOT_TRACK": "1", "PATH": os.environ["PATH"], **environment},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    ending = asyncio.get_running_loop().call_later(SECONDS_MAX, process.kill)
    try:
        process.stdin.write(b"".join(json.dumps(one).encode() + b"\n" for one in asked))
        # A server of MCP gives up what it has not answered when its input ends.
        lines = [await process.stdout.readline() for one in asked if "id" in one]
        rest, errors = await process.communicate(b"")
    finally:
        ending.cancel()
    assert process.returncode == 0, errors.decode()[-4000:]
    return [json.loads(line) for line in (*lines, *rest.splitlines())]


async def test_airbyte_reads_all_days(client: Client, checkout: Path, tmp_path: Path) -> None:
    """The released source copies each day that had a visit, with integers as its schema wants them, and leaves out the others."""
    if sys.version_info[:2] != (3, 11):
        pytest.skip("its pins are for Python 3.11")
    folder = installed(checkout, "airbyte")
    config, catalog = tmp_path / "config.json", tmp_path / "catalog.json"
    where = {"api_url": f"{client.url}/api/v1/stats", "start_date": "2026-02-27"}
    config.write_text(json.dumps({"api_key": client.text, "site_id": SITE, **where}))
    stream = {"name": "stats", "json_schema": {}, "supported_sync_modes": ["full_refresh"]}
    configured = {"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "overwrite"}
    catalog.write_text(json.dumps({"streams": [configured]}))
    program = checkout / "tests" / "programs" / "airbyte_read.py"
    said = await said_by(folder, [str(program), str(config), str(catalog)], tmp_path)
    assert [line["record"]["data"] for line in said if line["type"] == "RECORD"] == [
        {"date": "2026-03-01", "visitors": 3, "visits": 3, "pageviews": 4, "bounce_rate": 33, "visit_duration": 462},
        {"date": "2026-03-02", "visitors": 4, "visits": 2, "pageviews": 4, "bounce_rate": 50, "visit_duration": 180},
        {"date": "2026-03-03", "visitors": 2, "visits": 2, "pageviews": 2, "bounce_rate": 50, "visit_duration": 62},
    ]


async def test_an_agent_asks_by_plausible_mcp(client: Client, checkout: Path, tmp_path: Path) -> None:
    """The released server of MCP has the numbers of each of its tools, and tells a wrong key from a wrong question."""
    folder = installed(checkout, "mcp")
    asked = [
        ("get_aggregate_stats", {"site_id": SITE, "date_range": "2026-03-01,2026-03-03"}),
        ("get_breakdown", {"site_id": SITE, "property_name": "source", "date_range": "2026-03-01,2026-03-03", "limit": 2}),
        ("get_timeseries", {"site_id": SITE, "date_range": "2026-03-01,2026-03-02"}),
        ("get_realtime_visitors", {"site_id": SITE}),
        ("get_breakdown", {"site_id": SITE, "property_name": "medium"}),
        ("get_realtime_visitors", {"site_id": "other.example"}),
        ("doctor", {}),
    ]  # fmt: skip
    hello = {"protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": {"name": "an agent", "version": "1"}}
    given: list[dict[str, Any]] = [
        {"jsonrpc": "2.0", "method": "initialize", "params": hello, "id": 0},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        *(
            {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": name, "arguments": arguments}, "id": number}
            for number, (name, arguments) in enumerate(asked, start=1)
        ),
    ]
    where = {"PLAUSIBLE_BASE_URL": client.url, "PLAUSIBLE_API_KEY": client.text}
    said = await said_by(folder, ["-m", "plausible_mcp.server"], tmp_path, given, **where)
    texts = {line["id"]: line["result"]["content"][0]["text"] for line in said if line.get("id")}
    totals, sources, days, live = (json.loads(texts[number]) for number in (1, 2, 3, 4))
    assert totals["totals"] == {"visitors": 9, "pageviews": 10, "bounce_rate": 43, "visit_duration": 267}
    assert sources["results"] == [{"source": "(Direct / None)", "visitors": 5}, {"source": "ChatGPT", "visitors": 1}]
    assert days["timeseries"] == [{"date": "2026-03-01", "visitors": 3}, {"date": "2026-03-02", "visitors": 4}]
    assert live["realtime_visitors"] == 1
    assert "[INPUT_FIXABLE]" in texts[5]
    assert "Did you mean visit:utm_medium?" in texts[5]
    assert json.loads(texts[7])["sample_sites"] == ["empty.example", SITE]
    assert "[ENVIRONMENT_FIXABLE: STOP & ASK HUMAN] Authentication failed (HTTP 401)" in texts[6]
