"""deploy/grafana has the dashboard that is made of the catalogue."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from dashboard.grafana.board import SOURCE, WIDTH, board
from dashboard.grafana.macros import BY, CHANNEL, COUNTRY, SITE, ZONE

FILE = Path(__file__).parents[4] / "deploy/grafana/dashboards/sites.json"


def test_the_file_is_what_the_catalogue_makes() -> None:
    """Whoever changes a file of the catalogue, or a panel, runs `make grafana`."""
    assert FILE.read_bytes() == board()


def test_panels_ask_the_data_source_that_is_provisioned() -> None:
    """By its uid and its type."""
    file = FILE.parents[1] / "provisioning/datasources/clickhouse.yml"
    (source,) = yaml.safe_load(file.read_text("utf-8"))["datasources"]
    assert {"type": source["type"], "uid": source["uid"]} == SOURCE
    for panel in json.loads(board())["panels"]:
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {source["uid"]}


def test_panels_lie_beside_each_other() -> None:
    """No two of them cover each other, and none stands out on the right."""
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(board())["panels"]:
        at = panel["gridPos"]
        place = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not place & taken, panel["title"]
        assert at["x"] + at["w"] <= WIDTH
        taken |= place


def test_variables_come_before_what_asks_with_them() -> None:
    """Grafana asks for a variable when those that it names are known."""
    known: set[str] = set()
    for variable in json.loads(board())["templating"]["list"]:
        sql = json.dumps(variable["query"])
        assert {name for name in (SITE, ZONE, BY, COUNTRY, CHANNEL) if f"${{{name}" in sql} <= known
        known.add(variable["name"])
    assert known == {SITE, ZONE, BY, COUNTRY, CHANNEL}
