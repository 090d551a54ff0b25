"""Settings of the ingest tier, from the environment or a TOML file."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from schemas import settings

Port = Annotated[int, Meta(ge=0, le=65_535)]
Positive = Annotated[int, Meta(ge=1)]


class IngestSettings(msgspec.Struct, frozen=True, kw_only=True):
    """See docs/configuration.md for each; bytes, milliseconds and seconds as the names say."""

    host: str = ""  # "" listens on every address of both IP versions
    port: Port = 8000
    internal_host: str = "127.0.0.1"
    internal_port: Port = 8001
    internal_hosts: tuple[str, ...] = ()
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    redis_url: str = "redis://127.0.0.1:6379/0"
    redis_fsync: Literal["checked", "trusted"] = "checked"
    shards: Annotated[int, Meta(ge=1, le=256)] = 4
    sites: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    country_header: str = ""
    country_database: str = ""
    privacy_signals: Literal["count", "anonymise", "drop"] = "count"
    tracker_path: str = "/f.js"
    demo_page: bool = False
    demo_query: str = "forebay query"
    body_bytes_max: Positive = 1 << 20
    body_bytes_in_flight_max: Positive = 64 << 20
    body_seconds_max: Positive = 15
    connections_max: Positive = 10_000
    commit_rows_max: Positive = 2_000
    commit_bytes_max: Positive = 4 << 20
    queue_bytes_max: Positive = 64 << 20
    append_timeout_ms: Positive = 500
    answer_seconds_max: Positive = 5
    drain_seconds: Positive = 10
    spool_dir: str = ""  # "": no spool, 503 while Redis is unwell
    spool_bytes_max: Positive = 1 << 30
    spool_free_bytes_min: Positive = settings.SPOOL_FREE_BYTES_MIN
    redis_data_dir: str = ""  # where Redis keeps its AOF, when that is this machine's disk
    redis_free_bytes_min: Positive = settings.REDIS_FREE_BYTES_MIN
    memory_share_max: Annotated[float, Meta(gt=0, le=1)] = 0.85
    log_format: str = "auto"  # auto: for people on a terminal, else json


def load() -> IngestSettings:
    """Settings from the environment and FOREBAY_CONFIG. Raises settings.SettingsError."""
    toml: dict[str, Any] = {}
    if path := os.environ.get("FOREBAY_CONFIG"):
        try:
            toml = tomllib.loads(Path(path).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise settings.SettingsError(f"FOREBAY_CONFIG: {error} (see {settings.PAGE})") from error
    return settings.read(
        IngestSettings,
        environment=os.environ,
        toml=toml,
        table="ingest",
        read_file=lambda name: Path(name).read_text("utf-8"),
    )
