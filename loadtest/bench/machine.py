"""Says where and with what a result was measured, because without that a figure means nothing."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
from typing import TYPE_CHECKING, Any

from loadtest.bench import children, nginx, wrk
from loadtest.report import result

if TYPE_CHECKING:
    from pathlib import Path

PACKAGES = ("aiohttp", "chdb-core", "clickhouse-connect", "httptools", "msgspec", "redis", "uvloop", "zstandard")


def facts() -> dict[str, Any]:
    """Describes CPU, cores and system, and the load before the run."""
    load = children.LOAD.read_text("ascii").split()[:3] if children.LOAD.exists() else []
    return result.machine() | {"load_before": [float(one) for one in load]}


def versions(*, redis: str = "", clickhouse: str = "") -> dict[str, str]:
    """Returns the versions of the programs, and of the packages that an event passes."""
    found = {"redis-server": redis, "clickhouse": clickhouse}
    for name, program, option in (("nginx", nginx.program(), "-v"), ("wrk", wrk.program(), "-v")):
        if program:
            said = subprocess.run([program, option], capture_output=True, text=True, check=False)
            found[name] = version_in(said.stdout + said.stderr)
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {name: version for name, version in found.items() if version}


def version_in(text: str) -> str:
    """Returns the first words in a text that look like a version."""
    match = re.search(r"\d+(\.\d+)+\S*", text)
    return match.group() if match else ""


def revision(checkout: Path) -> str:
    """Returns the commit, marked if files differ from it; "" if there is no git."""
    head, status = git(checkout, "rev-parse", "HEAD"), git(checkout, "status", "--porcelain", "--untracked-files=no")
    return head[:12] + ("+changes" if status else "")


def git(checkout: Path, *words: str) -> str:
    """Returns what git prints, or "" if it fails. The checkout may belong to another user, as in a container."""
    try:
        said = subprocess.run(
            ["git", "-c", "safe.directory=*", *words], cwd=checkout, capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return said.stdout.strip() if said.returncode == 0 else ""
