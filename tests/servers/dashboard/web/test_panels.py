"""Panels, tables as CSV and the export of everything: the numbers of `hand.example`, which were counted on paper."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import zipfile
from typing import Any
from urllib.parse import quote

import pytest
from yarl import URL

from dashboard import body as bodies
from dashboard.web.panels import PANELS
from tests.servers.dashboard.web.conftest import SITE, Browser, another
from tests.support.waiting import SECONDS

TOTALS = [9, 7, 10, 1.43, 43, 267, 16]


def of_csv(body: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(body.decode(), newline="")))


def asked(panel: str, **more: Any) -> str:
    """Returns the question as the link of a download has it."""
    return quote(json.dumps({"site": SITE, "panel": panel, "period": "2026-03-01,2026-03-03", **more}))


async def test_totals_and_series_are_those_on_paper(browser: Browser) -> None:
    """The totals, each day, and what the page needs beside them."""
    said = await browser.panel("totals")
    assert said["rows"][0][:3] == TOTALS[:3]
    assert said["period"] == {
        "since": "2026-03-01",
        "until": "2026-03-03",
        "zone": "Asia/Kathmandu",
        "interval": "day",
        "is_running": False,
    }
    assert (said["compared"], said["compared_period"]) == (None, None)
    said = await browser.panel("series", compare="2026-03-02,2026-03-04")
    assert said["columns"][:2] == ["time", "visitors"]
    assert [row[:3] for row in said["rows"]] == [["2026-03-01", 3, 3], ["2026-03-02", 4, 2], ["2026-03-03", 2, 2]]
    assert [row[1] for row in said["compared"]] == [4, 2, 0]
    assert said["compared_period"]["until"] == "2026-03-04"
    hours = await browser.panel("series", period="2026-03-01,2026-03-01", interval="hour")
    assert len(hours["rows"]) == 24
    assert hours["period"]["interval"] == "hour"
    assert sum(row[3] for row in hours["rows"]) == 4


async def test_a_browser_that_leaves_is_no_fault(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever chooses another period while the question is on its way closes the connection: the log has no error of that."""
    host, port = browser.url.removeprefix("http://").rsplit(":", 1)
    for _ in range(5):
        _, writer = await asyncio.open_connection(host, int(port))
        head = f"POST /api/panel HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\nX-Forebay: 1\r\n"
        writer.write(f"{head}Content-Length: 100\r\n\r\n{{".encode())
        await writer.drain()
        await browser.get("/healthz")  # the server has read the head by now
        writer.transport.abort()
        await browser.get("/healthz")
    await browser.panel("totals")
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


async def test_tables_have_words_and_all_that_the_page_draws(browser: Browser) -> None:
    """Words for empty values, how many rows there are in all, an order, a part of the rows."""
    said = await browser.panel("sources", limit=2)
    assert (said["columns"][0], len(said["rows"]), said["total"]) == ("source", 2, 5)
    assert said["rows"][0][0] == "Direct / None"
    assert (await browser.panel("sources", limit=2, with_total=False))["total"] is None
    rest = await browser.rows("sources", limit=10, offset=2)
    assert len(rest) == 3
    ordered = await browser.rows("countries", order=[["country", "asc"]])
    assert [row[0] for row in ordered] == sorted(row[0] for row in ordered)
    assert (await browser.rows("pages", filters=[["is", "page", ["/pricing"]]]))[0][:2] == ["/pricing", 1]


async def test_goals_funnels_and_files_have_their_own_columns(browser: Browser) -> None:
    """All goals of the record, also those that nobody reached; money as a list; a funnel by its name."""
    said = await browser.panel("goals")
    assert said["columns"] == ["goal", "visitors", "events", "conversion_rate", "total_revenue"]
    found = {row[0]: row[1:] for row in said["rows"]}
    assert set(found) == {"signup", "Visit /pricing", "purchase", "never"}
    assert found["purchase"][3] == [{"currency": "EUR", "value": "5.5000"}, {"currency": "USD", "value": "20.0000"}]
    assert found["never"][:2] == [0, 0]
    funnel = await browser.panel("funnel", parameters={"name": "buy"})
    assert [row[:2] for row in funnel["rows"]] == [["Visit /", 4], ["Visit /pricing", 1], ["signup", 1]]
    assert (await browser.panel("vitals", parameters={"dimension": "device"}))["columns"][0] == "device"
    assert (await browser.panel("properties", parameters={"name": "purchase"}))["rows"] == [["plan", 2, 2]]
    values = await browser.panel("property", parameters={"property": "plan"})
    assert (values["columns"][0], {row[0] for row in values["rows"]}) == ("props.plan", {"(none)", "pro", "team"})
    assert (await browser.panel("bot_series"))["columns"] == ["time", "people", "bots"]
    assert (await browser.panel("live"))["rows"] in ([], [[0, 0]])


@pytest.mark.parametrize("panel", sorted(PANELS))
async def test_every_panel_answers_itself_and_as_csv(browser: Browser, panel: str) -> None:
    """With the same columns, the same rows and the same numbers, of a site with events and of one without."""
    given = {
        name: value
        for name, value in (
            ("name", "buy" if panel == "funnel" else "purchase"),
            ("property", "plan"),
            ("dimension", "page"),
        )
        if PANELS[panel].given.get(name, "") is None
    }
    for site in (SITE,) if panel == "funnel" else (SITE, "empty.example"):
        said = await browser.panel(panel, parameters=given, site=site, limit=10_000)
        lines = of_csv(await browser.get(f"/api/panel.csv?q={asked(panel, parameters=given, site=site)}"))
        assert len(lines) == len(said["rows"]) + 1
        if not any(isinstance(cell, list) for row in said["rows"] for cell in row):
            assert lines[0] == said["columns"]
            assert lines[1:] == [["" if cell is None else str(cell) for cell in row] for row in said["rows"]]
        if site != SITE:
            counts = [at for at, name in enumerate(said["columns"]) if name != "bucket"]
            numbers = [row[at] for row in said["rows"] for at in counts if isinstance(row[at], int | float)]
            assert not any(numbers), "a row of a neighbour"


async def test_a_csv_is_a_download_for_spreadsheets(browser: Browser) -> None:
    """It has a name, all rows, both periods and a column for each currency."""
    link = f"/api/panel.csv?q={asked('goals', compare='previous')}"
    async with browser.session.get(browser.url + link) as answer:
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert (
            answer.headers["Content-Disposition"]
            == 'attachment; filename="hand.example_goals_2026-03-01_2026-03-03.csv"'
        )
        lines = of_csv(await answer.read())
    columns = ["goal", "visitors", "events", "conversion_rate", "total_revenue EUR", "total_revenue USD"]
    assert lines[0][:6] == columns
    assert lines[0][6:9] == ["visitors_before", "events_before", "conversion_rate_before"]
    assert {line[0]: line[4:6] for line in lines[1:]}["purchase"] == ["5.5000", "20.0000"]


async def test_the_export_has_every_panel(browser: Browser) -> None:
    """Each as the same CSV; funnels, properties and their values too; nothing failed."""
    body = await browser.get(f"/api/export.zip?q={asked('totals')}")
    with zipfile.ZipFile(io.BytesIO(body)) as file:
        assert file.testzip() is None
        names = set(file.namelist())
        fixed = {f"{name}.csv" for name, panel in PANELS.items() if None not in panel.given.values() and name != "live"}
        assert fixed <= names
        assert {"funnel buy.csv", "properties of purchase.csv", "values of plan.csv"} <= names
        assert "problems.txt" not in names
        for panel in ("totals", "series", "sources", "goals"):
            assert file.read(f"{panel}.csv") == await browser.get(f"/api/panel.csv?q={asked(panel)}")


async def test_an_export_that_can_not_be_is_an_error(browser: Browser) -> None:
    """And no ZIP; a panel that can't be asked with these filters is named in it."""
    for question, status in (("{}", 400), (json.dumps({"site": "no site", "panel": "totals"}), 404)):
        said = await browser.get(f"/api/export.zip?q={quote(question)}", status=status)
        assert said["error"]
    body = await browser.get(f"/api/export.zip?q={asked('totals', period='realtime')}")
    with zipfile.ZipFile(io.BytesIO(body)) as file:
        said = file.read("problems.txt").decode() if "problems.txt" in file.namelist() else ""
        assert len(file.namelist()) > 30
        assert all(": " in line for line in said.splitlines())


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"panel": "nonsense"}, "There is no panel 'nonsense'. There are live, totals"),
        ({"period": "50y"}, "The period '50y' is not known"),
        ({"period": "1976-01-01,2026-01-01"}, "at most 7,320 days"),
        ({"period": "9999d"}, "at most 7,320 days"),
        ({"period": "9999mo"}, "lies between"),
        ({"period": "0d"}, "at least one day"),
        ({"period": "2026-03-03,2026-03-01"}, "begins before it ends"),
        ({"period": "2026-02-30,2026-03-01"}, "'2026-02-30' is no date"),
        ({"compare": "yesterday"}, "The comparison 'yesterday' is not known"),
        ({"interval": "minute"}, "An interval is one of hour, day, week, month"),
        ({"panel": "series", "period": "2010-01-01,2026-01-01", "interval": "hour"}, "choose a longer interval"),
        ({"limit": 0}, "limit"),
        ({"limit": 10_001}, "limit"),
        ({"offset": -1}, "offset"),
        ({"limit": "many"}, "The question can't be read: Expected `int`"),
        ({"more": 1}, "unknown field `more`"),
        ({"order": [["nonsense", "asc"]]}, "can't be ordered by 'nonsense'"),
        ({"order": [["visitors", "up"]]}, "The question can't be read"),
        ({"filters": [["is", "page", ["/"]]] * 1_000}, "at most 100 clauses"),
        ({"filters": [["is", "nonsense", ["/"]]]}, "nonsense"),
        ({"filters": [["matches", "page", ["(" * 200]]]}, "RE2 does not take"),
        ({"filters": [["matches", "page", ["((a{0,1000}){0,1000}){0,1000}"]]]}, "RE2 does not take"),
        ({"filters": [["is", "segment", [7]]]}, "no segment 7"),
        ({"panel": "funnel"}, "This panel needs the parameter 'name'"),
        ({"panel": "funnel", "parameters": {"name": "nonsense"}}, "no funnel 'nonsense'"),
        ({"panel": "totals", "parameters": {"name": "x"}}, "This panel has no parameter 'name'. It has none"),
        ({"panel": "retention", "parameters": {"unit": "x"}}, "The parameter 'unit' is one of day, week, month"),
        ({"panel": "retention", "parameters": {"unit": "quarter"}}, "The parameter 'unit' is one of day, week, month"),
        ({"panel": "live", "parameters": {"dimension": "source"}}, "can't be asked by 'source'"),
        ({"panel": "retention", "parameters": {"unit": "fortnight"}}, "'unit' is one of day, week, month"),
        ({"panel": "property", "parameters": {"property": ""}}, "1 to 300 characters"),
        ({"panel": "property", "parameters": {"property": 1}}, "is a text"),
    ],
)
async def test_what_can_not_be_asked_is_said(browser: Browser, more: dict[str, Any], said: str) -> None:
    """In one sentence, with status 400; the download says the same."""
    assert said in await browser.problem(more.pop("panel", "pages"), **more)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"site": "\xff"}', b'{"site": "\\ud800", "panel": "x"}', b"[" * 5_000]
)
async def test_what_is_no_question_is_refused(browser: Browser, body: bytes) -> None:
    """Whatever it is: 400, never a 500."""
    headers = {"Content-Type": "application/json"}
    async with browser.session.post(f"{browser.url}/api/panel", data=body, headers=headers) as answer:
        assert (answer.status, "can't be read" in (await answer.json())["error"]) == (400, True)
    async with browser.session.post(f"{browser.url}/api/panel", data=b"x" * 70_000, headers=headers) as answer:
        assert (answer.status, (await answer.json())["error"]) == (413, "A request has at most 64 KiB.")


@pytest.mark.parametrize(("length", "status"), [(1 << 60, 413), (50, 408)])
async def test_a_body_that_does_not_come_holds_no_connection(
    browser: Browser, length: int, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too long a one is refused by what its head says, and one that stops coming when its time is over."""
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.2)
    url = URL(browser.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(
        f"POST /api/panel HTTP/1.1\r\nHost: {url.authority}\r\nContent-Type: application/json\r\n"
        f"X-Forebay: 1\r\nContent-Length: {length}\r\n\r\n{{".encode()
    )
    async with asyncio.timeout(SECONDS):
        assert (await reader.readline()).split()[1] == str(status).encode()
    writer.close()


@pytest.mark.parametrize("path", ["/api/panel", "/api/v2/query"])
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
async def test_a_body_in_a_broken_coding_is_refused(browser: Browser, path: str, coding: str) -> None:
    """The stream breaks while it is read, which is the asker's fault. The HTTP library says so itself of some."""
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    async with browser.session.post(f"{browser.url}{path}", data=b"{}", headers=headers) as answer:
        assert answer.status == 400


async def test_a_site_that_is_none_is_not_there(browser: Browser) -> None:
    """404 with its name, for a panel as for all else."""
    assert "There is no site 'no site'" in await browser.problem("totals", status=404, site="no site")
    for path in ("no%20site", "no%20site/latest"):
        assert "no site" in (await browser.get(f"/api/sites/{path}", status=404))["error"]


@pytest.mark.parametrize("setting", ["4", "5"])
async def test_a_download_has_every_row_or_says_that_there_are_too_many(browser: Browser, setting: str) -> None:
    """It never leaves some out: `hand.example` has five sources."""
    async with another(browser, question_rows_max=int(setting)) as limited:
        link = f"/api/panel.csv?q={asked('sources')}"
        if setting == "5":
            assert len(of_csv(await limited.get(link))) == 6
        else:
            assert "more rows than it may" in (await limited.get(link, status=504))["error"]
