"""schemas/acts.py: every query that leaves out what is no act leaves out the same names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from schemas.acts import NO_ACTS, NO_ACTS_SQL

FILES = (
    "dashboard/queries/*.sql",
    "schemas/migrations/0008*.sql",
    "schemas/migrations/0011*.sql",
    "docs/visits.md",
    "docs/querying.md",
)


@pytest.mark.parametrize("pattern", FILES)
def test_what_is_no_act_is_written_alike_everywhere(checkout: Path, pattern: str) -> None:
    """Otherwise somebody who is identified would be a visitor on one page and not on another."""
    found = [
        said
        for path in checkout.glob(pattern)
        for said in re.findall(r"IN (\([^()]*'engagement'[^()]*\))", path.read_text("utf-8"))
    ]
    assert found
    for said in found:
        assert said.replace("'pageview', ", "") == NO_ACTS_SQL


def test_the_names_are_of_events() -> None:
    """Each once; a pageview is an act."""
    assert len(set(NO_ACTS)) == len(NO_ACTS)
    assert "pageview" not in NO_ACTS
