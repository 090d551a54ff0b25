"""`make countries` unpacks Debian's ranges where apt has them, and never stops `make up`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ingest.geography.ranges import Ranges
from tests.support.places import ranges

TOOLS = ("bash", "sh", "cat", "cksum", "cp", "cut", "dpkg", "dpkg-deb", "id", "make", "mkdir", "mktemp", "mv", "rm", "tar", "timeout", "touch")  # fmt: skip
pytestmark = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in TOOLS), reason="it needs make and the programs of Debian"
)


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A directory with the programs that the target needs, but for apt."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for tool in TOOLS:
        (directory / tool).symlink_to(shutil.which(tool) or "")
    return directory


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def made(checkout: Path, programs: Path) -> tuple[str, Path]:
    """Runs the target, which must not fail, and returns what it said and where it should have put the files."""
    target = programs.parent / "share" / "tor"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", "--no-print-directory", "countries", f"COUNTRIES={target}", "EMBEDDED=/dev/null"],
        cwd=checkout, env={**environment, "PATH": str(programs), "TMPDIR": str(programs.parent)}, timeout=60,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not list(programs.parent.glob("tmp.*"))
    return done.stdout + done.stderr, target


def test_a_machine_without_apt_goes_on(checkout: Path, programs: Path) -> None:
    """With a line that says which countries it has."""
    said, target = made(checkout, programs)
    assert "Countries come from iptocc" in said
    assert not target.exists()


@pytest.mark.parametrize(("knows", "downloads"), [(1, 100), (0, 100)])
def test_an_apt_that_has_no_such_package_goes_on(checkout: Path, programs: Path, knows: int, downloads: int) -> None:
    """Or one that can't reach it: with a line that says what to do."""
    script(programs / "apt-cache", f"exit {knows}")
    script(programs / "apt-get", f"exit {downloads}")
    said, target = made(checkout, programs)
    assert "apt-get update as root, then make countries" in said
    assert not target.exists()


def test_the_package_is_unpacked_and_not_installed(checkout: Path, programs: Path, tmp_path: Path) -> None:
    """A real package of the same form: its two files are where ingest looks for them, also in place of older ones."""
    package = tmp_path / "package"
    ranges(package / "usr/share/tor")
    (package / "usr/share/doc/tor-geoipdb").mkdir(parents=True)
    (package / "usr/share/doc/tor-geoipdb/copyright").write_text("CC BY-SA 4.0\n")
    (package / "DEBIAN").mkdir()
    (package / "DEBIAN/control").write_text(
        "Package: tor-geoipdb\nVersion: 1\nArchitecture: all\nDepends: tor\nMaintainer: T <t@example.com>\nDescription: Test\n"
    )
    subprocess.run(["dpkg-deb", "--build", package, tmp_path / "made.deb"], check=True, capture_output=True)
    script(programs / "apt-cache", "exit 0")
    script(programs / "apt-get", f"cp {tmp_path}/made.deb tor-geoipdb_1_all.deb")
    ranges(tmp_path / "share/tor", (("8.8.8.0", "8.8.8.255", "DE"),))
    said, target = made(checkout, programs)
    assert "CC BY-SA 4.0" in said
    assert Ranges(target).of("8.8.8.8").country == "US"
    assert (target / "copyright").exists()
