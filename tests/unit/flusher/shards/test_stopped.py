"""What is said of a stopped shard names a way out that is on the page."""

from __future__ import annotations

import re
from pathlib import Path


def test_every_way_out_is_on_the_page(checkout: Path) -> None:
    """Every command that these tests give is on docs/operations.md."""
    page = (checkout / "docs" / "operations.md").read_text("utf-8")
    section = re.split(r"\n## ", page.partition("## Shard stopped")[2])[0]
    for words in ("forebay settle", "forebay dead set-aside", "ALTER TABLE", "RENAME", "HDEL", "LREM", "roll forward"):
        assert words in section, words
