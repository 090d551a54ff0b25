"""The words and the configuration with which a real ClickHouse server is started: forebay/embedded/real_clickhouse.py.

The programs here only print a version: no real server is run.
"""

from __future__ import annotations

import hashlib
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from forebay.embedded.engine_record import WrongEngine
from forebay.embedded.real_clickhouse import ServerMissing, find
from forebay.up import plan as plans
from forebay.up.plan import Plan
from schemas.settings import UpSettings

NUMBERS = {"port": 1, "internal-port": 2, "flusher-internal-port": 3, "clickhouse-port": 4, "dashboard-port": 5}


def program(directory: Path, name: str, says: str, asked: str) -> str:
    """Makes a program that only prints its version."""
    made = directory / name
    made.write_text(f'#!/bin/sh\n[ "$*" = "{asked}" ] || exit 9\necho "{says}"\n')
    made.chmod(0o755)
    return str(made)


@pytest.fixture
def server(tmp_path: Path) -> str:
    return program(tmp_path, "clickhouse", "ClickHouse server version 25.8.2.29 (official build).", "server --version")


def test_both_programs_are_asked_for_their_version(tmp_path: Path, server: str) -> None:
    """`clickhouse` holds all programs in one file; `clickhouse-server` is the server."""
    assert find(server) == ((server, "server"), "25.8.2.29")
    alone = program(tmp_path, "clickhouse-server", "ClickHouse server version 24.8.1.1.", "--version")
    assert find(alone) == ((alone,), "24.8.1.1")


@pytest.mark.parametrize("says", ["ClickHouse server version 24.3.1.1 (official build).", "redis 7", ""])
def test_what_is_no_server_or_too_old_is_refused(tmp_path: Path, says: str) -> None:
    """The error names the setting, also if there is no such program."""
    with pytest.raises(ServerMissing, match=r"FOREBAY_CLICKHOUSE_SERVER=.* is no ClickHouse server of 24\.8 or later"):
        find(program(tmp_path, "clickhouse", says, "server --version"))
    with pytest.raises(ServerMissing, match="does not say its version"):
        find(str(tmp_path / "nothing"))


def _nobody(_: bytes) -> None:
    """Ignores what the workers report."""


def planned(data: Path, clickhouse_server: str = "") -> Plan:
    return Plan(UpSettings(clickhouse_server=clickhouse_server), data=data, numbers=NUMBERS, called="forebay")


def test_the_server_is_started_with_our_configuration(tmp_path: Path, server: str) -> None:
    """It has one listener on loopback, the limits of questions, the tables' defaults, and a password for storing."""
    plan = planned(tmp_path / "data", clickhouse_server=server)
    commands = plan.commands(0, _nobody, None)
    directory = tmp_path / "data" / "clickhouse"
    assert commands["clickhouse"].words == (server, "server", "--config-file", str(directory / "config.xml"))
    main, users = (ET.parse(directory / name).getroot() for name in ("config.xml", "users.xml"))  # noqa: S314  it is our own file
    assert [element.tag for element in main if element.tag.endswith("_port")] == ["http_port"]
    assert (main.findtext("listen_host"), main.findtext("http_port"), main.findtext("timezone")) == (
        "127.0.0.1",
        "4",
        "UTC",
    )
    assert main.findtext("merge_tree/fsync_after_insert") == "1"
    assert main.findtext("path") == f"{directory}/server/"
    assert users.findtext("profiles/default/max_execution_time") == "30"
    assert users.findtext("profiles/default/readonly") == "2"
    assert users.findtext("profiles/default/constraints/max_execution_time/max") == "600"
    assert (
        int(users.findtext("profiles/default/priority") or 0)
        > int(users.findtext("profiles/storing/priority") or 0)
        > 0
    )
    password = (directory / "password").read_text()
    assert users.findtext("users/forebay/password_sha256_hex") == hashlib.sha256(password.encode()).hexdigest()
    assert (directory / "password").stat().st_mode & 0o077 == 0
    environment = commands["flusher"].environment
    assert environment["FOREBAY_CLICKHOUSE_URL"] == "http://127.0.0.1:4"
    assert (environment["FOREBAY_CLICKHOUSE_USER"], environment["FOREBAY_CLICKHOUSE_PASSWORD"]) == ("forebay", password)
    assert json.loads((directory / "engine.json").read_text()) == {"kind": "server", "version": "25.8.2.29"}
    planned(tmp_path / "data", clickhouse_server=server).commands(0, _nobody, None)
    assert (directory / "password").read_text() == password


def test_a_directory_of_the_other_kind_is_refused_before_anything_starts(tmp_path: Path, server: str) -> None:
    """An engine's directory is refused to a server, and a server's to the engine."""
    (tmp_path / "embedded" / "clickhouse" / "engine").mkdir(parents=True)
    with pytest.raises(WrongEngine, match="leave the setting clickhouse_server out"):
        planned(tmp_path / "embedded", clickhouse_server=server).commands(0, _nobody, None)
    planned(tmp_path / "server", clickhouse_server=server).commands(0, _nobody, None)
    with pytest.raises(WrongEngine, match="name that server in the setting clickhouse_server"):
        planned(tmp_path / "server").commands(0, _nobody, None)


def test_without_the_setting_the_embedded_engine_is_started(tmp_path: Path) -> None:
    """The flusher reaches it through its socket, as the user `default`."""
    commands = planned(tmp_path).commands(0, _nobody, None)
    assert "forebay.embedded.clickhouse" in commands["clickhouse"].words
    assert commands["flusher"].environment["FOREBAY_CLICKHOUSE_URL"].startswith("unix://")
    assert commands["flusher"].environment["FOREBAY_CLICKHOUSE_USER"] == "default"
    assert plans.LOOPBACK in commands["clickhouse"].words
