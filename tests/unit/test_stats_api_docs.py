"""docs/stats-api.md names what can be asked, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from dashboard.catalogue import filter_json, periods
from dashboard.stats import v1, v2
from dashboard.stats.words import DIMENSIONS, METRICS, TIMES


def first_cells(page: str, heading: str) -> set[str]:
    """Returns what stands as code in the first column of the table below a heading."""
    part = re.split(r"^#+ ", page.split(f"# {heading}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]
    rows = [line for line in part.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row.split(" | ")[0])}


def test_the_page_names_all_words(checkout: Path) -> None:
    """Each metric, dimension, key and route is in its table."""
    page = (checkout / "docs" / "stats-api.md").read_text()
    assert first_cells(page, "Metrics") == set(METRICS)
    assert first_cells(page, "Dimensions") == {*DIMENSIONS, *TIMES, "event:props:NAME"}
    assert first_cells(page, "POST /api/v2/query") == set(v2.KEYS)
    assert first_cells(page, "GET /api/v1/stats") >= set(v1.PARAMETERS)


def test_the_page_has_the_limits(checkout: Path) -> None:
    """Numbers of the page are those of the code."""
    page = (checkout / "docs" / "stats-api.md").read_text()
    for limit, said in (
        (filter_json.CLAUSES_MAX, "at most {:,} conditions"),
        (filter_json.VALUES_MAX, "{:,} values"),
        (filter_json.VALUE_CHARACTERS_MAX, "values of {:,} characters"),
        (filter_json.PATTERNS_MAX, "{:,} patterns"),
        (filter_json.PATTERN_CHARACTERS_MAX, "patterns of {:,} characters"),
        (filter_json.DEPTH_MAX, "at most {:,} deep"),
        (periods.DAYS_MAX, "at most {:,} days"),
        (periods.BUCKETS_MAX, "at most {:,} buckets"),
        (v2.LIMIT, "a limit is at most {:,}"),
        (v2.DIMENSIONS_MAX, "[dimensions](#dimensions), at most {:,}"),
        (v1.LIMIT_MAX, "at most {:,}), `page`"),
    ):
        assert said.format(limit) in page
