"""Finds what `make sdks` has installed, and says which versions are tested: those of the lock files."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.sdks.declared import Sdk

HERE = Path(__file__).resolve().parent
INSTALLED = HERE.parents[1] / ".venv" / "sdks"


def runnable(sdks: Sequence[Sdk]) -> list[Sdk]:
    """Returns the SDKs that can be run here; skips the test if there are none.

    Where CI is set it fails if `make sdks` has not installed what the machine has the toolchain for.
    """
    lacks = ""
    if not list(INSTALLED.glob(".installed-*")):
        lacks = "the SDKs are not installed: make sdks"
    elif shutil.which("npm") and not (INSTALLED / "node_modules").is_dir():
        lacks = "the SDKs of npm are not installed, although npm is there: make clean sdks"
    if lacks and os.environ.get("CI"):
        pytest.fail(lacks)
    has_node = shutil.which("node") is not None and (INSTALLED / "node_modules").is_dir()
    found = [] if lacks else [sdk for sdk in sdks if has_node or sdk.runs_in == "python"]
    if not found:
        pytest.skip(lacks or "Node.js and npm are not installed")
    return found


def versions() -> dict[str, str]:
    """Returns the versions of all SDKs by package, as the lock files pin them. An alias counts as its package's name and version."""
    wanted = json.loads((HERE / "package.json").read_text())["devDependencies"]
    locked = json.loads((HERE / "package-lock.json").read_text())["packages"]
    found = {name: locked[f"node_modules/{name}"]["version"] for name in wanted}
    pinned = (HERE / "python.txt").read_text()
    for name in re.findall(r"^([a-z-]+)==", (HERE / "python.in").read_text(), re.MULTILINE):
        [found[name]] = re.findall(rf"^{name}==(\S+)", pinned, re.MULTILINE)
    for line in (HERE / "unpacked.txt").read_text().splitlines():
        name, found[name], _ = line.split()
    return found
