"""Settings of the flusher, from the environment or a TOML file."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from schemas import settings

Port = Annotated[int, Meta(ge=0, le=65_535)]
Positive = Annotated[int, Meta(ge=1)]


class FlusherSettings(msgspec.Struct, frozen=True, kw_only=True):
    """See docs/configuration.md for each; bytes, milliseconds and seconds as the names say."""

    flusher_internal_host: str = "127.0.0.1"
    flusher_internal_port: Port = 8002
    internal_hosts: tuple[str, ...] = ()
    redis_url: str = "redis://127.0.0.1:6379/0"
    clickhouse_url: str = "http://127.0.0.1:8123"
    clickhouse_user: str = "default"
    clickhouse_password: str = ""
    clickhouse_cluster: str = ""
    clickhouse_free_bytes_min: Annotated[int, Meta(ge=0)] = settings.CLICKHOUSE_FREE_BYTES_MIN
    shards: Annotated[int, Meta(ge=1, le=256)] = 4
    migrate_on_start: bool = False
    block_rows_max: Annotated[int, Meta(ge=1, le=500_000)] = 40_000
    block_bytes_max: Positive = 64 << 20
    block_age_ms: Positive = 1_000
    lease_ttl_ms: Annotated[int, Meta(ge=3_000)] = 10_000  # less leaves an INSERT no whole second
    insert_timeout_seconds: Positive = 30
    retry_ms_max: Positive = 10_000
    ready_stalled_seconds_max: Positive = 120
    replay_tail_seconds: Annotated[int, Meta(ge=0)] = 900
    replay_tail_bytes_max: Positive = 256 << 20
    id_window_hours: Annotated[int, Meta(ge=24, le=168)] = 24  # event_id is emptied after 8 days
    id_filter_bytes_max: Annotated[int, Meta(ge=1 << 20)] = 256 << 20
    drain_seconds: Positive = 15
    log_format: str = "auto"  # auto: for people on a terminal, else json


def load() -> FlusherSettings:
    """Settings from the environment and FOREBAY_CONFIG. Raises settings.SettingsError."""
    toml: dict[str, Any] = {}
    if path := os.environ.get("FOREBAY_CONFIG"):
        try:
            toml = tomllib.loads(Path(path).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise settings.SettingsError(f"FOREBAY_CONFIG: {error} (see {settings.PAGE})") from error
    return settings.read(
        FlusherSettings,
        environment=os.environ,
        toml=toml,
        table="flusher",
        read_file=lambda name: Path(name).read_text("utf-8"),
    )
