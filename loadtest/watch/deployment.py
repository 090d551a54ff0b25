"""Finds what is tested: where it accepts events, where it stores them, and which processes of this machine it is.

`forebay up` writes its addresses and process ids into `run.json` in its data directory, again after each restart of a
child; that makes faults and the figures per process possible. For a deployment without that file the ids can be given;
of a remote one only its answers are known, and the report says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from loadtest.processes import is_alive, parent_of
from schemas.runfile import RUN_FILE, Running

LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class NoDeploymentError(Exception):
    """Reports that what was asked for is not there. Its text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    url: str = "http://127.0.0.1:8000"
    clickhouse_url: str = "http://127.0.0.1:8123"
    clickhouse_user: str = "default"
    clickhouse_password: str = field(default="", repr=False)
    redis_url: str = ""  # unknown when empty
    run_file: Path | None = None  # of the `forebay up` that this is, if it is one
    given: dict[str, tuple[int, ...]] = field(default_factory=dict)  # process ids the caller knows

    def pids(self) -> dict[str, list[int]]:
        """Returns the process ids by name, as of now; processes that died since the file was written are left out."""
        named: dict[str, list[int]] = {name: list(ids) for name, ids in self.given.items()}
        if (found := _read(self.run_file)) is not None:
            for name in found.pids:
                named.setdefault(name, found.pids_of(name))
        alive = {name: [pid for pid in ids if pid and is_alive(pid)] for name, ids in named.items()}
        if self.run_file is not None:  # add `forebay up` itself, and the supervisor of ingest's workers
            known = {pid for ids in alive.values() for pid in ids}
            parents = {parent_of(ids[0]) for name, ids in alive.items() if ids and name in {"redis", "ingest"}}
            alive["supervisors"] = sorted(parents - known - {0, 1})
        return {name: ids for name, ids in alive.items() if ids}


def find(
    *,
    url: str = "",
    clickhouse_url: str = "",
    redis_url: str = "",
    data: str = "",
    data_default: str = "forebay-data",
    **rest: Any,
) -> Deployment:
    """Returns the deployment that was named, completed from the running `forebay up` that it belongs to.

    `data` names the data directory of a `forebay up`. Without it, the one on the default directory is taken if it
    answers at `url`, or if no URL is given. Raises NoDeploymentError.
    """
    path = Path(data or data_default).resolve() / RUN_FILE
    facts = _read(path)
    if data and facts is None:
        raise NoDeploymentError(f"no `forebay up` runs on {data}: start it with `forebay up --data {data}`")
    if facts is not None and (not url or _address(url) == _address(facts.url)):
        return Deployment(
            url=url or facts.url,
            clickhouse_url=clickhouse_url or facts.clickhouse_url,
            redis_url=redis_url or facts.redis_url,
            run_file=path,
            **rest,
        )
    if data and facts is not None:
        raise NoDeploymentError(f"the `forebay up` on {data} answers at {facts.url}, not at {url}")
    defaults = Deployment()
    return Deployment(
        url=url or defaults.url,
        clickhouse_url=clickhouse_url or defaults.clickhouse_url,
        redis_url=redis_url,
        **rest,
    )


def _read(path: Path | None) -> Running | None:
    """Returns what runs there; None where nothing does."""
    try:
        return Running.decode(path.read_bytes()) if path else None
    except (OSError, ValueError):
        return None


def _address(url: str) -> tuple[str, int | None]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    return ("loopback" if host in LOOPBACK else host), parts.port
