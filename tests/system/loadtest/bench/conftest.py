"""Lends a temporary directory to the benches, and requires that they leave it empty."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def place() -> Iterator[Path]:
    """Makes a directory with a short name, because a unix socket lies in it."""
    path = Path(f"/tmp/bench-{os.getpid()}")  # noqa: S108 - removed below; pytest's is too long
    path.mkdir()
    yield path
    left = list(path.iterdir())
    shutil.rmtree(path)
    assert not left
