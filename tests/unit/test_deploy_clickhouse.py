"""No password of deploy/clickhouse stands in a file."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml


@pytest.fixture(scope="module")
def deploy(checkout: Path) -> Path:
    """The folder."""
    return checkout / "deploy"


def test_every_clickhouse_password_comes_from_the_environment(checkout: Path, deploy: Path) -> None:
    """No password stands in a file, and compose sets each."""
    services = yaml.safe_load((checkout / "docker-compose.yml").read_text("utf-8"))["services"]
    root = ET.parse(deploy / "clickhouse" / "users.xml").getroot()  # noqa: S314 - a file of this repository
    passwords = [(one.text, one.get("from_env")) for one in root.iter("password")]
    assert {name for _, name in passwords} == set(services["clickhouse"]["environment"])
    assert all(not text for text, _ in passwords)
