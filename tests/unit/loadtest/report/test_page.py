"""The page of a result is whole, self-contained, and readable without colour, in a real browser too."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.__main__ import main
from loadtest.report import page
from loadtest.report.chart import Chart, Line, _thinned, draw, log_ticks, nice_ticks, number
from loadtest.report.text import knee
from tests.support.figures import run_figures, sweep_figures

EPSILON = 1e-15  # of a float: a microsecond beside 22 years is not much more
VOID = {"meta", "link", "br"}


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
    assert ticks[0] <= low + size * 1e-6 + low * EPSILON
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
