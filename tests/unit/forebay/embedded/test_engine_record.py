"""A data directory stays with the ClickHouse that wrote it: forebay/embedded/engine_record.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from forebay.embedded.engine_record import EMBEDDED, SERVER, WrongEngine, admit, check


def test_a_directory_records_who_wrote_it(tmp_path: Path) -> None:
    """The first one and each later version is recorded; the same version writes nothing."""
    directory = tmp_path / "clickhouse"
    admit(directory, kind=SERVER, version="25.8.2.29")
    record = directory / "engine.json"
    assert json.loads(record.read_text()) == {"kind": "server", "version": "25.8.2.29"}
    before = record.stat().st_ino
    admit(directory, kind=SERVER, version="25.8.2.29")
    assert record.stat().st_ino == before
    admit(directory, kind=SERVER, version="25.10.1.1")
    assert json.loads(record.read_text())["version"] == "25.10.1.1"
    assert [path.name for path in directory.iterdir()] == ["engine.json"]


@pytest.mark.parametrize(
    ("kind", "version", "words"),
    [
        (
            EMBEDDED,
            "26.9.0",
            "leave the setting clickhouse_server out|name that server in the setting clickhouse_server",
        ),
        (SERVER, "25.8.2.28", "older"),
        (SERVER, "25.7", "25.8.2.29 or a later one"),
        (SERVER, "9.9", "older"),
    ],
)
def test_another_kind_and_an_older_version_are_refused(tmp_path: Path, kind: str, version: str, words: str) -> None:
    """The error says in one sentence what to do, and the record stays."""
    admit(tmp_path, kind=SERVER, version="25.8.2.29")
    for judge in (admit, check):
        with pytest.raises(WrongEngine, match=words) as caught:
            judge(tmp_path, kind=kind, version=version)
        assert "\n" not in str(caught.value)
    assert json.loads((tmp_path / "engine.json").read_text())["version"] == "25.8.2.29"


def test_a_directory_without_a_record_is_the_embedded_engines(tmp_path: Path) -> None:
    """It was written before there were records."""
    (tmp_path / "engine").mkdir()
    with pytest.raises(WrongEngine, match="embedded engine"):
        admit(tmp_path, kind=SERVER, version="25.8")
    admit(tmp_path, kind=EMBEDDED, version="26.9.0")


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"kind": "server"}'])
def test_a_record_that_can_not_be_read_is_no_leave(tmp_path: Path, text: str) -> None:
    """Without it nobody knows what the files are."""
    (tmp_path / "engine.json").write_text(text)
    with pytest.raises(WrongEngine, match="does not say which"):
        check(tmp_path, kind=EMBEDDED, version="26.9.0")
