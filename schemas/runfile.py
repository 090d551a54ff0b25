"""run.json: how to reach a `forebay up` that runs, as it writes it and as the tools and the load test read it.

It lies in the data directory while everything answers, and is written again whenever a child is replaced; the setting
`ready_file` names a second copy.

Not promised: that what it names still lives. A machine that went dark takes nothing away.
"""

from __future__ import annotations

import msgspec

RUN_FILE = "run.json"


class RedisServer(msgspec.Struct, frozen=True):
    """Names the redis-server that runs."""

    program: str
    version: str


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """Holds the URLs by which this machine reaches the ports, what the settings say of the public, and process ids.

    `pids` has a number or None for `redis`, `clickhouse` and `dashboard`, and a list for `ingest` (its workers) and `flusher`. A field is
    empty where the version that wrote the file did not know it.
    """

    url: str = ""
    internal_url: str = ""
    flusher_internal_url: str = ""
    clickhouse_url: str = ""
    dashboard_url: str = ""
    redis_url: str = ""
    public_url: str = ""
    tracker_path: str = ""
    sites: tuple[str, ...] = ()
    redis_server: RedisServer | None = None
    pids: dict[str, int | list[int | None] | None] = {}

    def pids_of(self, name: str) -> list[int]:
        """Returns the ids of the processes of this name that run, or none."""
        found = self.pids.get(name)
        return [pid for pid in (found if isinstance(found, list) else [found]) if pid]

    def encode(self) -> bytes:
        """Returns the content of the file."""
        return msgspec.json.encode(self) + b"\n"

    @classmethod
    def decode(cls, content: bytes) -> Running:
        """Returns what a file says. Raises ValueError."""
        return msgspec.json.decode(content, type=cls)
