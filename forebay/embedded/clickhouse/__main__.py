"""Serves the chDB engine as ClickHouse over HTTP: `python -m forebay.embedded.clickhouse --data DIR --port N`.

One process owns a data directory: it holds an flock, and a marker says whether the last owner ended cleanly. After an
unclean end the deduplication logs are repaired before the engine reads them. Afterwards it is logged what the engine
could not read, and what can be rebuilt is rebuilt (parts.py).

There are three listeners: a port for anybody, within limits; a unix socket for the flusher alone, which has threads
and memory of its own and so waits for no question; and a unix socket for the dashboard, on which everything only reads,
with the limits and the threads of the port.

A query that still runs when the engine closes would crash the process. So at the end queries are awaited, then told to
stop; if even that takes too long, the process exits without closing the engine, as after a kill.
"""

import argparse
import asyncio
import ipaddress
import logging
import os
import signal
import socket
import sys
from pathlib import Path

from aiohttp import web

from forebay import config
from forebay.embedded import engine_record, sockets
from forebay.embedded.clickhouse import dedup_log, mutations
from forebay.embedded.clickhouse import parts as clickhouse_parts
from forebay.embedded.clickhouse.disk import Disk, Watched
from forebay.embedded.clickhouse.endpoint import Endpoint, Role
from forebay.embedded.clickhouse.engine import Engine
from forebay.embedded.clickhouse.lanes import BodyBudget, Lanes
from forebay.embedded.clickhouse.limits import Limits, default_memory_bytes, limits_of
from forebay.embedded.clickhouse.sessions import Sessions
from forebay.embedded.clickhouse.sql import QueryFailed
from forebay.lock import DataInUse, lock
from runtime import log
from runtime.bounded import Bounded
from runtime.durable import sync_names
from runtime.ending import leave
from runtime.parent import die_with_parent
from runtime.settings import EXIT_SETTINGS, SettingsError

EXIT_IN_USE = 1
EXIT_NOT_OPENED = 3
EXIT_NOT_CLOSED = 70
# For the flushers: two that each insert a block and ask about another.
FLUSHER_LANES = 4
FLUSHER_WAITING_MAX = 64
# For anybody: a bound, so that descriptors are left for the engine's files and for the flusher.
CONNECTIONS_MAX = 256
# The threads of so many questions that don't end when they are told to are replaced; with one more the process exits.
LOST_MAX = 2
BODY_BYTES_MAX = 256 << 20  # a block is at most 256 MB
BODIES_BYTES_MAX = 512 << 20
STOP_SECONDS_MAX = 20
KILLED_SECONDS_MAX = 5

_log = logging.getLogger("forebay.embedded.clickhouse")


def open_engine(directory: Path, *, memory_bytes_max: int, free_bytes_min: int, limits: Limits) -> Engine:
    """Opens the engine on our directory, after a repair if its last owner did not close it."""
    marker, home = directory / "unclean", directory / "engine"
    is_unclean, set_aside = marker.exists(), clickhouse_parts.set_aside(home)
    if is_unclean:
        for said in (*dedup_log.repair(home / "store"), *mutations.repair(home / "store")):
            _log.warning("after an unclean end: %s", said)
    marker.touch()
    sync_names(directory)
    engine = Engine(home, memory_bytes_max=memory_bytes_max, free_bytes_min=free_bytes_min, limits=limits)
    if is_unclean:
        try:
            clickhouse_parts.look(engine, home, set_aside)
        except QueryFailed:
            _log.exception("after an unclean end: not all parts could be checked")
    return engine


async def serve(
    engine: Engine,
    disk: Disk,
    *,
    host: str,
    port: int,
    flusher_socket: socket.socket | None,
    reader_socket: socket.socket | None,
    limits: Limits,
) -> None:
    """Answers until SIGTERM or SIGINT, then finishes what runs, for a bounded time.

    Afterwards nothing runs on the engine.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    watched = Watched(engine, disk)
    questions = Lanes(limits.queries, limits.waiting, wait_seconds=limits.wait_seconds, on_lost=_on_lost)
    storing = Lanes(FLUSHER_LANES, FLUSHER_WAITING_MAX)
    public, reader, private = (
        _runner(watched, lanes, limits, role=role)
        for lanes, role in ((questions, Role.ANYBODY), (questions, Role.READER), (storing, Role.FLUSHER))
    )
    for runner in (public, reader, private):
        await runner.setup()
    assert public.server is not None
    listener = await loop.create_server(
        Bounded(public.server, CONNECTIONS_MAX), host, port, reuse_address=True, backlog=128
    )
    for runner, private_socket in ((private, flusher_socket), (reader, reader_socket)):
        if private_socket is not None:
            await web.SockSite(runner, private_socket).start()
    sys.stdout.write(f"ClickHouse {engine.version} listens on http://{host}:{listener.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    watching = loop.create_task(disk.run(engine), name="disk")
    await stopping.wait()
    watching.cancel()
    listener.close()
    async with asyncio.TaskGroup() as tasks:
        bound = tasks.create_task(_bound_the_stop(engine))
        for runner in (public, reader, private):
            await runner.cleanup()
        for lanes in (questions, storing):
            await asyncio.to_thread(lanes.close)
        bound.cancel()


def _runner(engine: Watched, lanes: Lanes, limits: Limits, *, role: Role) -> web.AppRunner:
    endpoint = Endpoint(
        engine=engine,
        lanes=lanes,
        sessions=Sessions(kept_max=limits.sessions, bytes_max=limits.session_bytes),
        budget=BodyBudget(body_bytes_max=BODY_BYTES_MAX, bytes_max=BODIES_BYTES_MAX),
        limits=limits,
        role=role,
        held_directory=Path.cwd(),
    )
    return web.AppRunner(
        endpoint.application(),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=STOP_SECONDS_MAX + KILLED_SECONDS_MAX,
    )


def _on_lost(count: int) -> None:
    _log.error("%d queries don't end although they were told to: their threads are lost until they do", count)
    if count > LOST_MAX:
        _log.critical("exiting without closing the engine, to be rid of them; the next start repairs what that leaves")
        os._exit(EXIT_NOT_CLOSED)


async def _bound_the_stop(engine: Engine) -> None:
    await asyncio.sleep(STOP_SECONDS_MAX)
    _log.warning("queries still run %d s after the stop was asked for: they are told to end", STOP_SECONDS_MAX)
    await asyncio.to_thread(engine.interrupt)
    await asyncio.sleep(KILLED_SECONDS_MAX)
    _log.error("a query does not end: exiting without closing the engine; the next start repairs what that leaves")
    os._exit(EXIT_NOT_CLOSED)


def main() -> int:
    """Runs the command and returns its exit code."""
    options = _options()
    if options.die_with_parent:
        die_with_parent()
    try:
        settings = config.up_settings()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_SETTINGS
    log.set_up(settings.log_format)
    try:
        locked = lock(options.data)
    except DataInUse as error:
        sys.stderr.write(f"{error}: stop it, or choose another directory with --data\n")
        return EXIT_IN_USE
    try:
        engine_record.admit(options.data, kind=engine_record.EMBEDDED, version=engine_record.embedded_version())
    except engine_record.WrongEngine as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_SETTINGS
    os.chdir(options.data)  # so that a relative path, should SQL ever find a way to name one, leads nowhere else
    memory_bytes = options.memory_max or default_memory_bytes()
    limits = limits_of(settings, memory_bytes)
    try:
        engine = open_engine(
            options.data,
            memory_bytes_max=memory_bytes,
            free_bytes_min=settings.clickhouse_free_bytes_min,
            limits=limits,
        )
    except (OSError, RuntimeError) as error:
        sys.stderr.write(f"the engine does not open {options.data}: {error}\n")
        return EXIT_NOT_OPENED
    disk = Disk(options.data / "engine", free_bytes_min=settings.clickhouse_free_bytes_min)
    disk.begin(engine)
    try:
        asyncio.run(
            serve(
                engine,
                disk,
                host=options.host,
                port=options.port,
                flusher_socket=_bound(options.flusher_socket),
                reader_socket=_bound(options.reader_socket),
                limits=limits,
            )
        )
    except OSError as error:
        sys.stderr.write(f"cannot listen on {options.host}:{options.port}: {error.strerror}\n")
        return EXIT_IN_USE
    finally:
        engine.close()
        (options.data / "unclean").unlink()
        os.close(locked)
    return 0


def _bound(path: Path | None) -> socket.socket | None:
    return None if path is None else sockets.bound(path)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="forebay.embedded.clickhouse", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="directory to keep everything in; made if missing")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address: the port has no password")
    parser.add_argument("--port", type=int, default=8123, help="0 takes any free one and says which")
    parser.add_argument(
        "--memory-max", type=int, default=0, help="bytes of memory the engine may use (default: half of all)"
    )
    parser.add_argument(
        "--flusher-socket", type=Path, help="unix socket to make for the flusher, which waits behind no question"
    )
    parser.add_argument("--reader-socket", type=Path, help="unix socket to make on which everything only reads")
    parser.add_argument("--die-with-parent", action="store_true", help="end when the starting process does (Linux)")
    options = parser.parse_args()
    if options.host != "localhost" and not ipaddress.ip_address(options.host).is_loopback:
        parser.error("--host must be a loopback address: the embedded engine has no password")
    options.data = options.data.absolute()
    for name in ("flusher_socket", "reader_socket"):
        if (path := getattr(options, name)) is not None:
            setattr(options, name, path.absolute())
    return options


if __name__ == "__main__":
    leave(main())
