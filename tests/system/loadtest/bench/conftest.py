"""Lends temporary directories to the benches, and requires that they leave them empty."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def lent(name: str) -> Iterator[Path]:
    """Makes a directory with a short name, because a unix socket lies in it."""
    path = Path(f"/tmp/{name}-{os.getpid()}")  # noqa: S108 - removed below; pytest's is too long
    path.mkdir()
    yield path
    left = list(path.iterdir())
    shutil.rmtree(path)
    assert not left


@pytest.fixture
def place() -> Iterator[Path]:
    with lent("bench") as path:
        yield path


@pytest.fixture(scope="module")
def shared_place() -> Iterator[Path]:
    """Lends a directory to what the tests of a module share."""
    with lent("stand") as path:
        yield path
