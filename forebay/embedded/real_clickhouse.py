"""Runs a real ClickHouse server in the embedded engine's place: `forebay up` with the setting clickhouse_server.

    data/clickhouse/config.xml · users.xml · password · server/

The server listens on loopback, and speaks HTTP alone. Its user `default` reads, without a password, within the limits
of questions; `forebay`, whose password only this user of the machine can read, stores and does what the tools do. Its
tables have the same defaults as the embedded engine's.

Not promised: that it works with every server. Its command line and its configuration are tested; no test runs a server.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import subprocess
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

from forebay.embedded.clickhouse.guard import MERGE_TREE_SETTINGS, QUERY_LOG
from forebay.embedded.clickhouse.limits import STORING_PRIORITY, Limits
from runtime.durable import make_directory, sync_names

OLDEST = (24, 8)
USER = "forebay"
VERSION_SECONDS_MAX = 30


class ServerMissing(Exception):
    """Reports that the setting names no ClickHouse server that can be used. Its text says what to do."""


class Server(NamedTuple):
    """Holds the words that start a server, and its version."""

    words: tuple[str, ...]
    version: str


def find(setting: str) -> Server:
    """Asks the program for its version, and returns how to start it. Raises ServerMissing.

    `clickhouse` is all of ClickHouse's programs in one file, so it gets the word `server`.
    """
    words = (setting,) if Path(setting).name.endswith("-server") else (setting, "server")
    try:
        done = subprocess.run(
            [*words, "--version"], capture_output=True, text=True, timeout=VERSION_SECONDS_MAX, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ServerMissing(f"FOREBAY_CLICKHOUSE_SERVER={setting} does not say its version: {error}") from error
    found = re.search(r"version (\d+)\.(\d+)(\.\d+)*", done.stdout)
    if found is None or (int(found[1]), int(found[2])) < OLDEST:
        raise ServerMissing(f"FOREBAY_CLICKHOUSE_SERVER={setting} is no ClickHouse server of 24.8 or later")
    return Server(words, found.group().removeprefix("version "))


def prepare(directory: Path, *, port: int, memory_bytes: int, free_bytes_min: int, limits: Limits) -> tuple[Path, str]:
    """Writes the configuration; returns its path and the password of USER. Raises OSError."""
    make_directory(directory)
    password = _password(directory / "password")
    main, users = directory / "config.xml", directory / "users.xml"
    _write(users, _users(password, memory_bytes, limits))
    _write(main, _main(directory, users, port=port, memory_bytes=memory_bytes, free_bytes_min=free_bytes_min))
    return main, password


def _password(path: Path) -> str:
    if not path.exists():
        _write(path, secrets.token_hex(16))
        sync_names(path.parent)
    return path.read_text("ascii")


def _write(path: Path, text: str) -> None:
    """Puts a file there that only this user can read, whole or not at all."""
    if path.exists() and path.read_text("utf-8") == text:
        return
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _main(directory: Path, users: Path, *, port: int, memory_bytes: int, free_bytes_min: int) -> str:
    tables = "".join(f"<{name}>{value}</{name}>" for name, value in MERGE_TREE_SETTINGS.items())
    home = escape(str(directory / "server"))
    return f"""<clickhouse>
 <logger><level>information</level><console>1</console></logger>
 <listen_host>127.0.0.1</listen_host>
 <http_port>{port}</http_port>
 <path>{home}/</path>
 <tmp_path>{home}/temporary/</tmp_path>
 <user_files_path>{home}/user_files/</user_files_path>
 <format_schema_path>{home}/format_schemas/</format_schema_path>
 <user_directories><users_xml><path>{escape(str(users))}</path></users_xml></user_directories>
 <timezone>UTC</timezone>
 <max_server_memory_usage>{memory_bytes}</max_server_memory_usage>
 <merge_tree>{tables}</merge_tree>
 <storage_configuration><disks><default><keep_free_space_bytes>{free_bytes_min}</keep_free_space_bytes></default></disks>
 </storage_configuration>
 {QUERY_LOG}
</clickhouse>
"""


def _users(password: str, memory_bytes: int, limits: Limits) -> str:
    asks = "".join(
        f"<{name}>{value}</{name}>"
        for name, value in limits.settings(is_read=True, turn=0).items()
        if name != "priority"
    )
    digest = hashlib.sha256(password.encode()).hexdigest()
    return f"""<clickhouse>
 <profiles>
  <default>
   {asks}<priority>{STORING_PRIORITY + 1}</priority>
   <max_concurrent_queries_for_user>{limits.queries}</max_concurrent_queries_for_user>
   <readonly>2</readonly>
   <constraints>
    <max_memory_usage><min>1</min><max>{limits.bytes}</max></max_memory_usage>
    <max_execution_time><min>1</min><max>{limits.seconds_max}</max></max_execution_time>
    <priority><const/></priority>
   </constraints>
  </default>
  <storing>
   <max_memory_usage>{memory_bytes * 3 // 4}</max_memory_usage><priority>{STORING_PRIORITY}</priority>
  </storing>
 </profiles>
 <users>
  <default>
   <password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
  </default>
  <{USER}>
   <password_sha256_hex>{digest}</password_sha256_hex>
   <networks><ip>127.0.0.1</ip></networks><profile>storing</profile><quota>default</quota>
  </{USER}>
 </users>
 <quotas><default></default></quotas>
</clickhouse>
"""
