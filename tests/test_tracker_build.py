"""The tracker's files: the size budget, and that the committed build is what the source gives."""

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import pytest

TRACKER = Path(__file__).resolve().parent.parent / "tracker"
DIST_GZIP_BYTES_MAX = 1_500  # about one packet: a TCP segment holds 1 460; 1 036 when this was written


def test_size_budget() -> None:
    """The tracker costs a visitor one packet."""
    dist = (TRACKER / "dist" / "f.js").read_bytes()
    assert len(gzip.compress(dist, 9)) <= DIST_GZIP_BYTES_MAX


def test_lock_file_names_no_address() -> None:
    """A build asks whatever registry its machine is set to."""
    lock = (TRACKER / "package-lock.json").read_text()
    assert "://" not in lock
    package = json.loads((TRACKER / "package.json").read_text())
    assert json.loads(lock)["packages"][""]["devDependencies"] == package["devDependencies"]


@pytest.mark.slow
def test_dist_is_what_the_build_gives(tmp_path: Path) -> None:
    """Nobody edits dist/, and nobody forgets it."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    copy = tmp_path / "tracker"
    shutil.copytree(TRACKER, copy, ignore=shutil.ignore_patterns("node_modules", "dist"))
    for command in (["ci", "--prefer-offline", "--no-audit", "--no-fund"], ["run", "build"]):
        done = subprocess.run([npm, *command], cwd=copy, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode and command[0] == "ci":
            pytest.skip(f"npm cannot install here: {done.stderr[-300:]}")
        assert done.returncode == 0, done.stderr
    assert (copy / "dist" / "f.js").read_bytes() == (TRACKER / "dist" / "f.js").read_bytes()
