"""An assistant over HTTP, by the protocol's own client: which tools it is offered, what they answer, and whose sites."""

from __future__ import annotations

import sys
from typing import Any

import aiohttp
import pytest

from dashboard.ask.files import catalogue
from dashboard.catalogue.query import Query
from dashboard.mcp.answers import NOT_OURS
from dashboard.mcp.api import NOT_INSTALLED
from dashboard.mcp.arguments import METRICS, SITES, SQL, own
from dashboard.mcp.written import DATA
from tests.servers.dashboard.mcp.conftest import OTHER, SITE, MakesKey
from tests.support.assistant import Assistant, over_http

PERIOD = "2026-03-01,2026-03-03"
OWN: dict[str, Any] = {"name": "purchase", "purpose": "ai-", "unit": "week", "window_ms": 86_400_000}
OF_ALL = {name for name, query in catalogue().items() if "site" not in query.parameters}


def arguments(query: Query, **more: Any) -> dict[str, Any]:
    """Returns the arguments with which a tool of the catalogue answers."""
    given = {name: query.example[name] if name in query.example else OWN[name] for name in own(query)}
    typed = {name: int(given[name]) if query.parameters[name].startswith("UInt") else given[name] for name in given}
    steps = {"steps": ["Visit /shop", "purchase"]} if query.dimensions == "steps" else {}
    return typed | steps | ({} if query.name in OF_ALL else {"site": SITE}) | more


async def test_a_key_of_every_site_is_offered_everything(url: str, made: MakesKey) -> None:
    """Each file of the catalogue is a tool; all of them only read."""
    async with over_http(url, await made("*")) as assistant:
        tools = await assistant.tools()
    assert set(tools) == {*catalogue(), METRICS, SITES, SQL}
    assert all(tool.annotations.read_only_hint for tool in tools.values())


async def test_a_key_of_a_site_is_offered_neither_sql_nor_what_is_of_all_sites(url: str, made: MakesKey) -> None:
    """It can't call them either, by their names."""
    async with over_http(url, await made(SITE)) as assistant:
        tools = await assistant.tools()
        assert set(tools) == {*catalogue(), METRICS, SITES} - OF_ALL
        for name in (SQL, *OF_ALL):
            said = await assistant.call(name, **({"query": "SELECT 1"} if name == SQL else {}))
            assert (said.is_error, said.rows) == (True, []), name
        assert (await assistant.call(SITES)).rows == [[SITE, "Asia/Kathmandu"]]


async def test_every_tool_answers(url: str) -> None:
    """With what its schema asks for, to somebody on this machine; each says what it leaves out, and that rows are data."""
    async with over_http(url) as assistant:
        for name, query in catalogue().items():
            more = {"period": PERIOD} if "since" in query.parameters and name not in OF_ALL else {}
            said = await assistant.call(name, **arguments(query, **more))
            assert not said.is_error, said.text
            assert said.columns, name
            assert DATA in said.text
            assert query.leaves_out in said.text


async def test_metrics_by_dimensions(url: str) -> None:
    """What the page shows: counted on paper in tests/support/dashboard/hand.py."""
    async with over_http(url) as assistant:
        metrics = ["visitors", "visits", "pageviews", "bounce_rate"]
        said = await assistant.call(METRICS, site=SITE, period=PERIOD, metrics=metrics)
        assert said.rows == [[9, 7, 10, 43]]
        said = await assistant.call(
            METRICS, site=SITE, period=PERIOD, metrics=["visitors"], dimensions=["country"], limit=2
        )
        assert len(said.rows) == 2
        assert "There are more rows: ask with an offset of 2" in said.text
        filtered: Any = [["is", "country", ["DE"]]]
        said = await assistant.call(METRICS, site=SITE, period=PERIOD, metrics=["visitors"], filters=filtered)
        assert said.rows == [[2]]


@pytest.mark.parametrize(
    ("name", "given", "why"),
    [
        (METRICS, {"site": SITE}, "needs the argument 'metrics'"),
        (METRICS, {"site": SITE, "metrics": ["vistors"]}, "'vistors' is not known"),
        (METRICS, {"site": SITE, "metrics": ["visitors"], "period": "lately"}, "not known"),
        (METRICS, {"site": SITE, "metrics": ["visitors"], "zone": "UTC"}, "no argument 'zone'"),
        (METRICS, {"site": SITE, "metrics": ["visitors"], "limit": 10_000}, "limit"),
        (METRICS, {"site": SITE, "metrics": ["visitors"], "filters": [["is", "nothing", ["a"]]]}, "nothing"),
        ("links", {"site": SITE, "name": 7}, "is a text"),
        ("retention", {"site": SITE}, "needs the argument 'unit'"),
        ("no_tool", {}, "no tool"),
    ],
)
async def test_what_cannot_be_asked_is_a_sentence(url: str, name: str, given: dict[str, Any], why: str) -> None:
    """An assistant reads why, and can ask again."""
    async with over_http(url) as assistant:
        said = await assistant.call(name, **given)
        assert said.is_error
        assert why in said.text


async def another_site(assistant: Assistant, name: str, query: Query | None) -> None:
    """Checks that a tool answers no question about another site, whatever argument names it."""
    given = arguments(query) if query is not None else {"site": SITE, "metrics": ["visitors"]}
    for site in (OTHER, f"www.{OTHER}", OTHER.upper(), f"{OTHER}.", "never.example", "*", ""):
        said = await assistant.call(name, **(given | {"site": site}))
        assert (said.is_error, said.rows) == (True, []), (name, site)
        assert f"There is no site {site!r} that you may read" in said.text
    # By any other argument the answer is still of its own site.
    for argument in ("zone", "sites", "site_id", "query", "p1", "first_session"):
        said = await assistant.call(name, **given, **{argument: OTHER})
        assert said.is_error, (name, argument)


async def test_another_site_is_not_answered_by_any_tool_and_argument(url: str, made: MakesKey) -> None:
    """A site that does not exist and one that may not be read are one sentence."""
    async with over_http(url, await made(SITE)) as assistant:
        await another_site(assistant, METRICS, None)
        for name, query in catalogue().items():
            if name not in OF_ALL:
                await another_site(assistant, name, query)


async def test_a_filter_does_not_reach_another_site(url: str, made: MakesKey) -> None:
    """Its values are parameters: what looks like SQL selects nothing."""
    hostile: Any = [["is", "page", [f"' OR e.site = '{OTHER}' -- "]], ["contains", "country", ["') OR 1 = 1 -- "]]]
    async with over_http(url, await made(SITE)) as assistant:
        for one in hostile:
            said = await assistant.call("events", site=SITE, period="2026-01-01,2026-12-31", filters=[one])
            assert (said.is_error, said.rows) == (False, [])


async def test_who_has_no_key_and_is_not_here_gets_nothing(url: str, made: MakesKey) -> None:
    """A proxy, a wrong key, and a key that sends events. A browser of another page is refused, as everywhere."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accept = {"Accept": "application/json, text/event-stream"}
    refused = [
        ({"X-Forwarded-For": "192.0.2.1"}, 403),
        ({"Authorization": "Bearer fbk_wrong"}, 401),
        ({"Authorization": f"Bearer {await made('*', scope='write')}"}, 401),
        ({"Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "evil.example"}, 403),
    ]
    async with aiohttp.ClientSession() as session:
        for headers, status in refused:
            async with session.post(f"{url}/mcp", json=body, headers=accept | headers) as answer:
                assert answer.status == status, headers
                assert b"tools" not in await answer.read()
        async with session.get(f"{url}/mcp", headers=accept) as answer:
            assert answer.status == 405
        async with session.post(f"{url}/mcp", json=body | {"params": {"x": "y" * 70_000}}, headers=accept) as answer:
            assert answer.status == 413


async def test_sql_says_that_it_is_not_the_catalogue(url: str, made: MakesKey) -> None:
    """Also where its number would be the same."""
    async with over_http(url, await made("*")) as assistant:
        said = await assistant.call(SQL, query="SELECT count() AS n FROM v_pageviews WHERE site = 'hand.example'")
        assert said.rows == [[10]]
        assert NOT_OURS in said.text


async def test_calls_are_counted(url: str) -> None:
    """By tool and by how they ended; a tool that there is not has no label of its own."""
    async with over_http(url) as assistant:
        await assistant.call(SITES)
        await assistant.call(METRICS, site=SITE)
        await assistant.call("x" * 50)
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    for labels in ('tool="list_sites"', f'tool="{METRICS}"', 'tool=""'):
        result = "answered" if "list" in labels else "sorry"
        assert f'forebay_dashboard_assistant_calls_total{{result="{result}",{labels}}} 1.0' in lines


async def test_without_the_library_it_says_what_to_do(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of the dashboard does not need it."""
    monkeypatch.setitem(sys.modules, "dashboard.mcp.server", None)
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{url}/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "ping"}) as answer:
            assert (answer.status, (await answer.json())["error"]) == (501, NOT_INSTALLED)
        async with session.get(f"{url}/api/sites") as answer:
            assert answer.status == 200
