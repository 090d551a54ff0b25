"""The list of hosts that `make sources` makes of its package is the one that is committed."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

BUILT = ("referrers.tsv", "referrers.LICENSE")


def test_the_lock_file_names_no_address(checkout: Path) -> None:
    """A build asks whatever registry its machine is set to, and takes the version that is pinned."""
    folder = checkout / "schemas" / "sources"
    lock = (folder / "package-lock.json").read_text()
    assert "://" not in lock
    package = json.loads((folder / "package.json").read_text())
    assert json.loads(lock)["packages"][""]["devDependencies"] == package["devDependencies"]


def test_the_list_is_what_the_build_gives(checkout: Path, tmp_path: Path) -> None:
    """Nobody edits it by hand, and nobody forgets to make it anew with another version of the package."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    folder, copy = checkout / "schemas" / "sources", tmp_path / "sources"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("node_modules", *BUILT))
    for command in (["ci", "--prefer-offline", "--no-audit", "--no-fund"], ["run", "build"]):
        done = subprocess.run([npm, *command], cwd=copy, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode and command[0] == "ci":
            pytest.skip(f"npm cannot install here: {done.stderr[-300:]}")
        assert done.returncode == 0, done.stderr
    for name in BUILT:
        assert (copy / name).read_bytes() == (folder / name).read_bytes()
