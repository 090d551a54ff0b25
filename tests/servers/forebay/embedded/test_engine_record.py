"""A data directory stays with the ClickHouse that wrote it: forebay/embedded/engine_record.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from forebay.embedded.engine_record import embedded_version
from tests.support.engine import EngineProcess


def test_the_embedded_engine_asks_before_it_opens(tmp_path: Path) -> None:
    """It records itself, and opens nothing that a server or a newer engine wrote."""
    engine = EngineProcess(tmp_path)
    engine.close()
    assert json.loads((tmp_path / "engine.json").read_text()) == {"kind": "embedded", "version": embedded_version()}
    for kind, version in (("server", "25.8"), ("embedded", "99.1")):
        (tmp_path / "engine.json").write_text(json.dumps({"kind": kind, "version": version}))
        with pytest.raises(RuntimeError, match=f"no start.*{version}"):
            EngineProcess(tmp_path)
