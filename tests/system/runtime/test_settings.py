"""Processes say at their start which variables nobody reads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("program", ["ingest", "flusher", "forebay up"])
def test_each_process_says_at_its_start_what_nobody_reads(program: str, checkout: Path, tmp_path: Path) -> None:
    """Once, before it does anything; it starts all the same."""
    words = [sys.executable, "-m", *program.split()]
    environment = {
        **os.environ,
        **dict.fromkeys(("FOREBAY_PORT", "FOREBAY_INTERNAL_PORT", "FOREBAY_CLICKHOUSE_PORT"), "0"),
        "FOREBAY_FLUSHER_INTERNAL_PORT": "0",
        "FOREBAY_DATA": str(tmp_path),
        "FOREBAY_REDIS_URL": f"unix://{tmp_path}/nobody",
        "FOREBAY_REDIS_SERVER": "/nowhere",
        "FOREBAY_SHARD": "8",
    }
    with subprocess.Popen(words, cwd=checkout, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        process.terminate()
        rest = process.stderr.read()
    assert "FOREBAY_SHARD: no such setting; FOREBAY_SHARDS?" in said
    assert "FOREBAY_SHARD:" not in rest
