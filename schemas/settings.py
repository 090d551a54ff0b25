"""Settings of one tier: a Struct filled from the environment or one TOML table, all faults at once.

A field `redis_url` of the table `ingest` is read from FOREBAY_REDIS_URL, else from
FOREBAY_REDIS_URL_FILE (a path: for secrets), else from the TOML file's top level or its
`[ingest]` table. The environment wins. Every field is described in docs/configuration.md;
a test keeps that page in step.

Pure: the caller brings the environment, the parsed TOML and a way to read a secret's file.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

PREFIX = "FOREBAY_"
# What disks must have free, for the processes that write there and for `forebay up`, which says when they have not.
REDIS_FREE_BYTES_MIN = 256 << 20
SPOOL_FREE_BYTES_MIN = 64 << 20
CLICKHOUSE_FREE_BYTES_MIN = 384 << 20
PAGE = "docs/configuration.md"
# The settings of all processes: what one does not know may be another's, and what is nobody's is misspelt.
NAMES = frozenset(
    [
        "answer_seconds_max",
        "append_timeout_ms",
        "block_age_ms",
        "block_bytes_max",
        "block_rows_max",
        "body_bytes_in_flight_max",
        "body_bytes_max",
        "body_seconds_max",
        "clickhouse_cluster",
        "clickhouse_free_bytes_min",
        "clickhouse_password",
        "clickhouse_port",
        "clickhouse_server",
        "clickhouse_url",
        "clickhouse_user",
        "commit_bytes_max",
        "commit_rows_max",
        "connections_max",
        "country_database",
        "country_header",
        "data",
        "demo_page",
        "demo_query",
        "drain_seconds",
        "flusher_internal_host",
        "flusher_internal_port",
        "host",
        "id_filter_bytes_max",
        "id_window_hours",
        "insert_timeout_seconds",
        "internal_host",
        "internal_hosts",
        "internal_port",
        "lease_ttl_ms",
        "log_format",
        "memory_share_max",
        "migrate_on_start",
        "port",
        "privacy_signals",
        "production",
        "public_url",
        "queries_max",
        "queries_waiting_max",
        "query_bytes_max",
        "query_rows_max",
        "query_seconds",
        "query_seconds_max",
        "query_threads_max",
        "query_wait_seconds",
        "queue_bytes_max",
        "ready_file",
        "ready_stalled_seconds_max",
        "redis_bytes_max",
        "redis_data_dir",
        "redis_free_bytes_min",
        "redis_fsync",
        "redis_port",
        "redis_server",
        "redis_url",
        "replay_tail_bytes_max",
        "replay_tail_seconds",
        "retry_ms_max",
        "session_bytes_max",
        "sessions_max",
        "shards",
        "sites",
        "spool_bytes_max",
        "spool_dir",
        "spool_free_bytes_min",
        "stop_seconds",
        "tracker_path",
        "trusted_proxies",
        "workers",
    ]
)
OTHER_NAMES = frozenset(("config", "tag", "browser"))  # the TOML file's; docker-compose.yml's; the tests'
SettingsT = TypeVar("SettingsT", bound=msgspec.Struct)


class SettingsError(Exception):
    """The settings can't be used. Its text lists every fault, one a line."""


def read(
    kind: type[SettingsT],
    *,
    environment: Mapping[str, str],
    toml: Mapping[str, Any],
    table: str,
    read_file: Callable[[str], str],
) -> SettingsT:
    """The settings, or SettingsError naming every fault and where its documentation is."""
    section = toml.get(table, {})
    own = section if isinstance(section, dict) else {}
    merged = {**{k: v for k, v in toml.items() if not isinstance(v, dict)}, **own}
    values: dict[str, Any] = {}
    faults: list[str] = []
    for field in msgspec.structs.fields(kind):
        name = PREFIX + field.name.upper()
        try:
            found = _find(name, field.name, environment, merged, read_file)
            if found is None:
                continue
            if isinstance(found, str):
                found = _split(found, field.type)
            values[field.name] = msgspec.convert(found, field.type, strict=not isinstance(found, str | list))
        except (msgspec.ValidationError, OSError, UnicodeError) as error:
            faults.append(f"{name}: {error} (see {PAGE}#{field.name})")
    known = {field.name for field in msgspec.structs.fields(kind)}
    faults += [f"[{table}] {key}: no such setting (see {PAGE})" for key in own if key not in known]
    if own is not section:
        faults.append(f"[{table}]: not a table (see {PAGE})")
    if not faults:
        try:
            return kind(**values)
        except (TypeError, ValueError) as error:
            faults.append(f"{error} (see {PAGE})")
    raise SettingsError("\n".join(faults))


def unknown(environment: Mapping[str, str]) -> list[str]:
    """A line for each variable with our prefix that no process reads, with the nearest that one does."""
    lines = []
    for variable in sorted(environment):
        name = variable.removeprefix(PREFIX).lower()
        if variable.startswith(PREFIX) and name.removesuffix("_file") not in NAMES and name not in NAMES | OTHER_NAMES:
            near = difflib.get_close_matches(name.removesuffix("_file"), NAMES, 1)
            hint = f"; {PREFIX}{near[0].upper()}?" if near else ""
            lines.append(f"{variable}: no such setting{hint} (see {PAGE})")
    return lines


def _find(
    name: str, field: str, environment: Mapping[str, str], toml: Mapping[str, Any], read_file: Callable[[str], str]
) -> Any:
    if name in environment:
        return environment[name]
    if name + "_FILE" in environment:
        return read_file(environment[name + "_FILE"]).strip()
    return toml.get(field)


def _split(text: str, kind: Any) -> str | list[str]:
    """A comma list where the field is a tuple or list; else the text itself."""
    if getattr(kind, "__origin__", None) in {tuple, list}:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text
