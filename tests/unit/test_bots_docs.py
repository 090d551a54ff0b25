"""docs/bots.md says what the code says: the reasons with bits and weights, and the purposes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ingest.agents.bot_patterns import patterns
from schemas.bots import REASONS, THRESHOLD


@pytest.fixture(scope="module")
def page(checkout: Path) -> str:
    return (checkout / "docs" / "bots.md").read_text("utf-8")


def test_the_page_has_every_reason(page: str) -> None:
    """Bit, word, weight and meaning are those of schemas/bots.py, in its order."""
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| (\d+) \| (.+) \|$", page, re.MULTILINE)
    assert rows == [(str(int(bit)), one.word, str(one.weight), one.meaning) for bit, one in REASONS.items()]
    assert f"`bot_threshold` ({THRESHOLD})" in page


def test_the_page_has_every_purpose(page: str) -> None:
    """No row has a purpose that the page does not name, and none that it names is impossible."""
    (section,) = re.findall(r"^## Purposes\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"`([a-z-]+)`", section)) == {
        pattern.crawler.purpose for pattern in patterns() if pattern.crawler
    }
