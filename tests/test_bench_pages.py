"""docs/capacity.md and docs/performance.md say what docs/measured.json says, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

from loadtest import capacity
from loadtest.bench import page
from loadtest.bench.figures import Figure
from loadtest.capacity import Costs

COST = Costs(
    cpu_us={"ingest": 30.0, "redis": 10.0},
    memory={"ingest": 100e6, "redis": 50e6},
    redis_bytes=80,
    disk_bytes=40,
    knee_per_s=1,
)


@pytest.fixture
def measured(checkout: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((checkout / "docs" / "measured.json").read_text("utf-8"))
    return found


@pytest.mark.parametrize("name", capacity.PAGES)
def test_a_page_is_what_the_script_makes_of_the_result(checkout: Path, measured: dict[str, Any], name: str) -> None:
    """Nobody has changed a figure by hand. `python -m loadtest.capacity docs/measured.json` mends it."""
    text = (checkout / "docs" / name).read_text("utf-8")
    assert text == capacity.PAGES[name](text, measured)


def test_the_result_is_the_benchs_own(measured: dict[str, Any]) -> None:
    """Machine, revision, command and versions beside every figure that the bench has."""
    assert measured == page.kept(measured)
    assert measured["machine"]["cpu"]
    assert measured["revision"]
    assert {"redis-server", "clickhouse", "nginx", "wrk"} <= set(measured["versions"])
    assert {"P1", "P2", "P3", "P4", "P4b"} <= {figure["name"] for figure in measured["figures"]}
    assert not [figure["fault"] for figure in measured["figures"] if figure["fault"]]


def test_every_goal_that_is_missed_has_its_reason(checkout: Path, measured: dict[str, Any]) -> None:
    """And no goal that is met is excused."""
    text = (checkout / "docs" / "performance.md").read_text("utf-8")
    reasons = text.partition("## Why a goal is not met")[2].partition("\n## ")[0]
    excused = [line.removeprefix("- **").partition("**")[0] for line in reasons.splitlines() if line.startswith("- **")]
    assert sorted(name for names in excused for name in names.split(", ")) == sorted(page.missed(measured))


def test_marks_are_needed_once() -> None:
    """A page without them, or with two, is not silently left as it is; other marks stay."""
    text = "a\n<!-- x: made -->\nold\n<!-- /x -->\n<!-- y: made -->\nkept\n<!-- /y -->\n"
    assert page.replaced(text, "x", r"new \1") == text.replace("old", r"new \1")
    for broken in ("", text + text):
        with pytest.raises(ValueError, match="once"):
            page.replaced(broken, "x", "new")


def test_a_core_bears_what_its_time_is_worth() -> None:
    """40 us an event and half a core: 12,500 a second; a day of 100 M at three times its mean needs 0.28 cores."""
    assert capacity.per_s(COST, 1) == 12_500
    assert capacity.per_s(COST, 2, 0.5) == 12_500
    assert capacity.cores(COST, 100_000_000) == pytest.approx(100e6 / 86_400 * 3 * 40e-6 / 0.5)


def test_the_small_server_is_worked_out() -> None:
    """6,250 a second at the peak; 180 M a day; 700 MB for Redis; the disk ends in days."""
    text = capacity.small(COST)
    assert "| 1 core × 0.5 × 0.5 ÷ 40 µs | 6,250 |" in text
    assert "| 6,250 ÷ 3 × 86,400 | 180 M |" in text
    assert "| 1,000 − 200 − 100 MB | 700 MB |" in text
    assert "| 25 GB × 0.8 ÷ (40 B × 180 M) | 3 |" in text


def test_no_memory_left_is_said_as_none() -> None:
    """A server that is too small holds nothing back, not less than nothing."""
    assert "| 0 M, 0.0 h of a mean day |" in capacity.small(COST._replace(memory={"clickhouse": 2e9}))


def test_a_result_that_lacks_a_figure_is_refused() -> None:
    """Tables made of what was not measured would be made up."""
    found = {"figures": [Figure(name="P4", value=1).as_json()]}
    with pytest.raises(ValueError, match="P7 P9 P11"):
        capacity.costs(found)


def test_only_the_benchs_result_is_taken() -> None:
    """A sweep's JSON has figures too, and other ones."""
    with pytest.raises(ValueError, match="bench"):
        page.kept({"kind": "sweep"})
