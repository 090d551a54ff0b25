"""Sockets of the data directory: where they lie, and that nothing is left of them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from forebay.embedded import sockets


def test_a_socket_lies_in_the_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when it is forgotten, the directory stays."""
    monkeypatch.chdir(tmp_path)
    directory = Path("forebay-data")
    directory.mkdir()
    path = sockets.private_path(directory, "s")
    assert path == directory / "s"
    sockets.bound(path).close()
    (directory / "kept").touch()
    sockets.forget(path)
    assert list(directory.iterdir()) == [directory / "kept"]


def test_nothing_is_left_of_a_private_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that a socket's address can't hold leads to a directory of ours, which goes with its socket."""
    with tempfile.TemporaryDirectory(prefix="f") as short:
        monkeypatch.setattr(tempfile, "tempdir", short)
        path = sockets.private_path(tmp_path / ("long" * 30), "s")
        sockets.bound(path).close()
        assert path.parent.parent == Path(short)
        sockets.forget(path)
        sockets.forget(path)
        assert not list(Path(short).iterdir())
