"""docs/operations.md lists every alert as deploy/prometheus/alerts.yml has it."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROW = re.compile(r"^\| `(Forebay\w+)` \| [^|]+ \| ([^|]+) \| (\w+) \| \[[^\]]+\]\(#([\w-]+)\) \|$", re.MULTILINE)


def test_the_table_of_alerts_is_that_of_the_rules(checkout: Path) -> None:
    """In the same order, with how long each has to last, its severity and the section that its runbook_url names."""
    page = (checkout / "docs" / "operations.md").read_text("utf-8")
    groups = yaml.safe_load((checkout / "deploy" / "prometheus" / "alerts.yml").read_text("utf-8"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert ROW.findall(page) == [
        (
            rule["alert"],
            rule.get("for", "at once"),
            rule["labels"]["severity"],
            rule["annotations"]["runbook_url"].rpartition("#")[2],
        )
        for rule in rules
    ]
