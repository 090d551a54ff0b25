"""The page of a result is whole, self-contained, and readable without colour, in a real browser too."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.async_api import Page

from loadtest.__main__ import main
from loadtest.report import page
from loadtest.report.chart import Chart, Line, _thinned, draw, log_ticks, nice_ticks, number
from loadtest.report.result import VERSION
from loadtest.report.text import knee
from tests.support.browser import open_browser

VOID = {"meta", "link", "br"}


def run_figures(**changes: Any) -> dict[str, Any]:
    """Makes the figures of a run of 40 seconds with an outage, as run.py does."""
    latency = {"mean": 2.0, "p50": 1.5, "p90": 3.0, "p99": 9.0, "p99.9": 30.0, "max": 44.0}
    seconds: list[dict[str, Any]] = []
    for second in range(40):
        is_out = 10 <= second < 20
        seconds.append(
            {
                "second": second, "offered": 5_000.0, "sent": 5_000, "acknowledged": 5_000, "refused": 0, "unclear": 0,
                "unsent": 3 if second == 11 else 0, "p50_ms": 1.5, "p90_ms": 3.0, "p99_ms": 9.0 + second,
                "p999_ms": 30.0, "stored": 5_000 * (10 if is_out else second),
                "freshness_p50_ms": None if is_out else 800.0, "freshness_p99_ms": None if is_out else 1_500.0,
                "processes": {name: {"cpu": 0.4, "rss_mb": 90.0} for name in ("redis", "clickhouse", "ingest", "<b>")},
            }
        )  # fmt: skip
    figures: dict[str, Any] = {
        "version": VERSION, "at": "2026-11-23T08:00:00Z", "profile": "outage", "offered_per_s": 5_000.0,
        "achieved_per_s": 4_998.2, "plan": {"duration_s": 40.0, "bodies": [[1, 1.0]]},
        "machine": {"cpu": "A CPU <i>", "cores": 2, "forebay": "0.1", "clickhouse": "26.9"},
        "events": {"acknowledged": 200_000, "rejected": 0, "refused": {}, "unclear": {}, "unsent": 3},
        "latency_ms": latency, "lag_ms": latency, "freshness_ms": latency | {"sampled": 1_000},
        "generators": [{"cpu_share": 0.5, "starved_share": 0.3}], "generator_limited": True, "generator_starved": True,
        "connections_limited": False, "stopped_early": False, "unverified": "",
        "verify": {
            "lost": 0, "duplicated": 0, "foreign": 0, "is_exact": True, "rollups_agree": True, "stored_after_s": 0.5,
            "stored": {"unclear": 0}, "lost_sample": [], "duplicated_sample": [],
        },
        "cost": {
            "cpu_s_per_million": 50.5,
            "processes": {
                "<b>": {"cpu_s": 4.0, "cpu_s_per_million": 20.0, "rss_mb_max": 90.0, "rss_mb_median": 80.0},
            },
            "disk": {"bytes_per_event": 25.2}, "redis": {"bytes_per_event": 70.1, "events_per_entry": 30.0}, "faults": [],
        },
        "outage": {
            "what": "clickhouse paused", "began_s": 10.0, "ended_s": 20.0, "catch_up": 9.5, "caught_up_after_s": 1.4,
            "waiting_max": 50_000, "drain_per_s": 47_500.0, "latency_p99_ms_before": 9.0, "latency_p99_ms_during": 9.5,
        },
        "seconds": seconds,
    }  # fmt: skip
    return figures | changes


def sweep_figures() -> dict[str, Any]:
    """Makes the figures of a sweep of three rungs, of which the last failed."""
    rungs = [
        {
            "offered_per_s": rate, "achieved_per_s": min(rate, 7_000.0), "p50_ms": 1.0, "p99_ms": 9.0, "p999_ms": 12.0,
            "stored_after_s": 1.0 if rate < 8_000 else None, "cpu_s_per_million": 60.0, "generator_cpu_share": 0.4,
            "passed": rate < 8_000, "verdict": "passed" if rate < 8_000 else "sent too late",
        }
        for rate in (2_000.0, 4_000.0, 8_000.0)
    ]  # fmt: skip
    return {
        "version": VERSION, "kind": "sweep", "at": "2026-11-23T08:00:00Z", "profile": "single", "knee_per_s": 4_000.0,
        "failed_per_s": 8_000.0, "generator_limited": False, "rungs": rungs, "settings": {"stored_within_s": 5.0},
        "machine": {"cpu": "A CPU", "cores": 2, "forebay": "0.1"}, "final": run_figures(outage=None, verify=None),
    }  # fmt: skip


class Reader(HTMLParser):
    """Checks nesting, and keeps what a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in {"src", "href", "action", "xlink:href"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("figures", [run_figures(), run_figures(verify=None, freshness_ms=None), sweep_figures()])
def test_a_page_is_whole_and_loads_nothing(figures: dict[str, Any]) -> None:
    """Tags nest, names from outside are escaped, and there is neither a script nor an address."""
    text = page.html(figures)
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    assert reader.loads == ["data:,"]
    assert "script" not in reader.tags
    assert "<b>&lt;b&gt;" not in text
    assert "<i>" not in text
    assert not re.search(r"url\(|@import|https?://", text)


def test_a_page_says_what_is_wrong_first() -> None:
    """Exactness and the generator's weakness stand above every figure."""
    text = page.html(run_figures())
    for words in ("Exact.", "The generator was the limit.", "out of CPU", "9.5 times the live rate"):
        assert 0 < text.index(words) < text.index("Latency p50")
    verdict = run_figures()["verify"] | {"is_exact": False, "lost": 7}
    assert "Not exact.</b> lost 7" in page.html(run_figures(verify=verdict))


def test_every_line_has_a_name_a_dash_and_its_numbers() -> None:
    """Readers who see no colour, or no drawing, have the legend's dashes and the table."""
    text = draw(Chart(title="T", unit="ms", lines=[Line("a", [(0, 1.5), (1, None)]), Line("b", [(0, 2.0), (1, 3.25)])]))
    assert text.count("<li>") == 2
    assert text.count('stroke-dasharray="6 3"') == 3
    assert '<th scope="row">1</th><td></td><td>3.25</td>' in text
    assert text.count('role="img"') == 2


def test_a_chart_of_nothing_says_so() -> None:
    """An empty frame would look like zero."""
    assert "Not measured" in draw(Chart(title="T", unit="ms", lines=[Line("a", [(0, None)])]))


def test_a_peak_survives_thinning() -> None:
    """Few of 10 000 points are drawn, and the highest is one of them."""
    points: list[tuple[float, float | None]] = [(at, 1.0) for at in range(10_000)]
    points[5_003] = (5_003, 99.0)
    thin = _thinned(points)
    assert len(thin) <= 400
    assert (5_003, 99.0) in thin


@given(st.floats(0, 1e9), st.floats(1e-6, 1e9))
def test_ticks_cover_what_is_drawn(low: float, size: float) -> None:
    """They are few and ascending, and lie around both ends."""
    ticks = nice_ticks(low, low + size, 4)
    assert ticks == sorted(set(ticks))
    assert ticks[0] <= low + size * 1e-6
    assert ticks[-1] >= (low + size) * (1 - 1e-6)
    assert 2 <= len(ticks) <= 9


@given(st.floats(0.001, 1e6), st.floats(1, 1e4))
def test_logarithmic_ticks_cover_what_is_drawn(low: float, factor: float) -> None:
    """They reach from a microsecond to hours."""
    ticks = log_ticks(low, low * factor)
    assert ticks[0] <= low * 1.001
    assert ticks[-1] >= low * factor * 0.999


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1.5, "1.5"), (99.96, "100"), (1_234, "1,234"), (12_345.0, "12,345"), (250_000, "250 k"), (3e6, "3 M")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    """On an axis there is room for six characters."""
    assert number(value) == text


def test_a_kept_result_is_drawn_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`forebay loadtest report` writes the page beside the JSON, or where it is told."""
    source = tmp_path / "run.json"
    source.write_text(json.dumps(sweep_figures()))
    assert main(["report", str(source)]) == 0
    assert (tmp_path / "run.html").read_text() == page.html(json.loads(source.read_text()))
    assert "run.html" in capsys.readouterr().out
    assert main(["report", str(source), str(tmp_path / "other.html")]) == 0
    assert (tmp_path / "other.html").exists()


@pytest.mark.parametrize("text", ["{}", "[]", "no json", '{"version": 1}'])
def test_what_is_no_result_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    """The error names the file, and is no traceback."""
    (tmp_path / "x.json").write_text(text)
    assert main(["report", str(tmp_path / "x.json")]) == 2
    assert "x.json" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "none.json")]) == 2


def test_a_sweep_as_text_has_a_row_a_rung() -> None:
    """The run at 70 % is beneath them."""
    text = knee(sweep_figures())
    assert len([row for row in text.splitlines() if row.endswith(("passed", "sent too late"))]) == 3
    assert "never" in text
    assert "At 70 % of it" in text


def addresses(shown: Page) -> list[str]:
    """Returns what the page would have loaded."""
    fetched: list[str] = []
    shown.on("request", lambda request: fetched.append(request.url))
    return fetched


@pytest.mark.browser
@pytest.mark.parametrize("figures", [run_figures(), sweep_figures()])
async def test_a_browser_shows_it_at_every_width(tmp_path: Path, figures: dict[str, Any]) -> None:
    """On a phone and on a desktop, in light and dark, nothing overflows, nothing is loaded, and one drawing is shown."""
    path = tmp_path / "page.html"
    page.write(path, figures)
    async with open_browser() as browser:
        for width, scheme in ((390, "dark"), (1_200, "light")):
            context = await browser.new_context(
                viewport={"width": width, "height": 800}, color_scheme="dark" if scheme == "dark" else "light"
            )
            shown = await context.new_page()
            fetched = addresses(shown)
            await shown.goto(path.as_uri())
            assert [url for url in fetched if not url.startswith("data:")] == [path.as_uri()]
            assert await shown.evaluate("document.documentElement.scrollWidth") == width
            figure = shown.locator("figure").first
            assert await figure.locator("svg[role=img]:visible").count() == 1
            letters = figure.locator("svg[role=img]:visible .tick").first
            assert await letters.evaluate("node => node.getBoundingClientRect().height") > 11
            await context.close()
