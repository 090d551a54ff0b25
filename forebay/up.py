"""`forebay up`: everything on one machine, supervised. Real Redis, the ClickHouse engine, ingest, a flusher.

    redis ──▶ ingest (its tier supervises the workers)      started as soon as what they need answers
    clickhouse ──▶ migrations ──▶ flusher

They are the processes production runs, told by the environment where the others are. A child
that dies is started again (children.py). Ports are held by us, so they stay the same.

Stopping goes the way events go: ingest drains into Redis, the flusher drains into ClickHouse,
then the two close. A second ctrl-C, or `stop_seconds`, ends all at once and says what stays in
Redis for the next start: nothing acknowledged is lost by that, nor by SIGKILL.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from forebay import config, log, migrate, ports
from forebay.children import Child, Command, answers, pongs
from forebay.clickhouse import ClickHouse, ClickHouseError
from forebay.config import RUN_FILE, UpSettings
from forebay.embedded import redis
from forebay.lock import DataInUse, lock
from forebay.ports import PortTaken

LOOPBACK = "127.0.0.1"
DRAIN_ORDER = ("ingest", "flusher", "clickhouse")
REDIS_STOP_SECONDS = 5  # it has nothing to write at its end: every answer was fsynced
WAITING_SECONDS = 10  # a start that takes longer says what it waits for
QUERY = "SELECT site, name, path, count() AS events FROM forebay.v_events GROUP BY ALL ORDER BY events DESC LIMIT 10"
_log = logging.getLogger("forebay.up")


class Up:
    """One run, from the lock on the data directory to the exit code."""

    def __init__(self, settings: UpSettings) -> None:
        self._settings = settings
        self._began = time.monotonic()
        self._data = Path(settings.data).resolve()
        self._files = [self._data / RUN_FILE, *([Path(settings.ready_file)] if settings.ready_file else [])]
        self._held: list[socket.socket] = []
        self._ports: dict[str, int] = {}
        self._children: dict[str, Child] = {}
        self._workers: list[int] = []
        self._is_up = False
        self._fault = ""
        self._stop = asyncio.Event()
        self._patience: asyncio.Timeout | None = None
        self._is_hurried = False

    async def run(self) -> int:
        """Starts, serves until told to stop, stops; the exit code. Raises DataInUse, PortTaken, RedisMissing."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)
        locked = lock(self._data)
        try:
            self._forget()
            self._hold_ports()
            commands = self._commands(locked)
            async with asyncio.TaskGroup() as tasks:
                starting = tasks.create_task(self._start(tasks, commands))
                waiting = tasks.create_task(self._say_what_is_missing())
                await self._stop.wait()
                starting.cancel()
                waiting.cancel()
                return await self._end()
        finally:
            self._forget()
            for held in self._held:
                held.close()
            os.close(locked)

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._is_hurried = True
            if self._patience is not None:
                self._patience.reschedule(asyncio.get_running_loop().time())
        self._stop.set()

    def _give_up(self, fault: str) -> None:
        self._fault = fault
        self._stop.set()

    def _hold_ports(self) -> None:
        settings = self._settings
        wanted = [
            ("port", settings.host, settings.port),
            ("internal-port", LOOPBACK, settings.internal_port),
            ("clickhouse-port", LOOPBACK, settings.clickhouse_port),
            ("flusher-internal-port", LOOPBACK, settings.flusher_internal_port),
        ]
        if settings.redis_port is not None:
            wanted.append(("redis-port", LOOPBACK, settings.redis_port))
        faults = []
        for option, host, port in wanted:
            try:
                held, self._ports[option] = ports.hold(host, port)
                self._held += held
            except PortTaken as error:
                faults.append(f"{error}: choose another with --{option}, or --{option} 0 for any free one")
        if faults:
            raise PortTaken("\n".join(faults))

    # What is started

    def _commands(self, locked: int) -> dict[str, Command]:
        settings, numbers = self._settings, self._ports
        program, version = redis.find_server(settings.redis_server)
        directory = self._data / "redis"
        configured = redis.prepare(
            directory, version, port=numbers.get("redis-port", 0), memory_bytes=settings.redis_bytes_max
        )
        redis_socket = str(redis.socket_path(directory))
        environment = config.child_environment(
            redis_url=f"unix://{redis_socket}",
            clickhouse_url=self._clickhouse_url,
            clickhouse_user="default",
            clickhouse_password="",
            clickhouse_cluster="",
            host=settings.host,
            port=str(numbers["port"]),
            internal_host=LOOPBACK,
            internal_port=str(numbers["internal-port"]),
            flusher_internal_host=LOOPBACK,
            flusher_internal_port=str(numbers["flusher-internal-port"]),
            workers=str(settings.workers),
            shards=str(settings.shards),
            sites=",".join(settings.sites),
            redis_data_dir=str(directory),
            spool_dir=str(self._data / "spool"),
            demo_page="true",
            migrate_on_start="false",
            log_format=settings.log_format,
        )

        def child(name: str, *words: str, is_ready: Any, on_line: Any = None) -> Command:
            return Command(
                name=name, words=words, environment=environment, is_ready=is_ready, on_line=on_line, fds=(locked,)
            )

        engine = (
            "--data",
            str(self._data / "clickhouse"),
            "--host",
            LOOPBACK,
            "--port",
            str(numbers["clickhouse-port"]),
        )
        tier = ("--report-workers", "--run-dir", str(self._data / "ingest"))
        python = (sys.executable, "-m")
        commands = [
            child("redis", program, str(configured), is_ready=lambda: pongs(redis_socket)),
            child(
                "clickhouse",
                *python,
                "forebay.embedded.clickhouse",
                *engine,
                is_ready=self._answers("clickhouse-port", "/ping"),
            ),
            child(
                "ingest",
                *python,
                "ingest",
                *tier,
                is_ready=self._answers("internal-port", "/readyz"),
                on_line=self._on_workers,
            ),
            child("flusher", *python, "flusher", is_ready=self._answers("flusher-internal-port", "/readyz")),
        ]
        return {command.name: command for command in commands}

    def _answers(self, option: str, path: str) -> Any:
        return lambda: answers(LOOPBACK, self._ports[option], path)

    def _launch(self, tasks: asyncio.TaskGroup, command: Command) -> Child:
        child = Child(command=command, on_ready=self._on_change, on_given_up=self._give_up)
        self._children[command.name] = child
        tasks.create_task(child.keep(), name=command.name)
        return child

    async def _start(self, tasks: asyncio.TaskGroup, commands: dict[str, Command]) -> None:
        engine = self._launch(tasks, commands["clickhouse"])  # the slowest to start goes first
        await self._launch(tasks, commands["redis"]).ready.wait()
        ingest = self._launch(tasks, commands["ingest"])
        await engine.ready.wait()
        await self._migrate()
        flusher = self._launch(tasks, commands["flusher"])
        await ingest.ready.wait()
        await flusher.ready.wait()
        self._is_up = True
        self._on_change()
        _say(self._banner())

    async def _migrate(self) -> None:
        client = ClickHouse(self._clickhouse_url)
        try:
            # A pool of its own that ends here: after it we fork from a process without threads.
            with ThreadPoolExecutor(1) as pool:
                await asyncio.get_running_loop().run_in_executor(pool, _migrate_alone, client)
        except (ClickHouseError, migrate.MigrationChanged) as error:
            self._give_up(f"the tables cannot be brought to this version: {error}")

    async def _say_what_is_missing(self) -> None:
        while True:
            await asyncio.sleep(WAITING_SECONDS)
            if missing := [name for name, child in self._children.items() if not child.ready.is_set()]:
                _log.warning("waiting for %s", ", ".join(missing))

    # What is said

    def _on_workers(self, line: bytes) -> None:
        self._workers = json.loads(line)["workers"]
        self._on_change()

    def _on_change(self) -> None:
        """Writes the ready file again, whole or not at all."""
        if not self._is_up:
            return
        text = json.dumps(self._facts())
        for path in self._files:
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f".{path.name}.{os.getpid()}")
            fresh.write_text(text + "\n", "utf-8")
            fresh.replace(path)

    def _forget(self) -> None:
        for path in self._files:
            path.unlink(missing_ok=True)

    def _facts(self) -> dict[str, Any]:
        numbers, children = self._ports, self._children
        socket_url = f"unix://{redis.socket_path(self._data / 'redis')}"
        return {
            "url": self._url,
            "internal_url": f"http://{LOOPBACK}:{numbers['internal-port']}",
            "flusher_internal_url": f"http://{LOOPBACK}:{numbers['flusher-internal-port']}",
            "clickhouse_url": self._clickhouse_url,
            "redis_url": f"redis://{LOOPBACK}:{numbers['redis-port']}/0" if "redis-port" in numbers else socket_url,
            "pids": {
                "redis": children["redis"].pid,
                "clickhouse": children["clickhouse"].pid,
                "ingest": self._workers,
                "flusher": [children["flusher"].pid],
            },
        }

    @property
    def _clickhouse_url(self) -> str:
        return f"http://{LOOPBACK}:{self._ports['clickhouse-port']}"

    @property
    def _url(self) -> str:
        host = self._settings.host
        if host in {"", "::", "0.0.0.0", "localhost"}:
            host = LOOPBACK
        return f"http://{f'[{host}]' if ':' in host else host}:{self._ports['port']}"

    def _banner(self) -> str:
        sites = [site for site in self._settings.sites if site != "*"]
        attribute = f' data-site="{sites[0]}"' if sites else ""
        given = "" if self._settings.data == UpSettings().data else f" --data {self._settings.data}"
        return "\n".join(
            (
                f"Forebay is ready after {time.monotonic() - self._began:.1f} s; its data is in {self._data}",
                "",
                f"  Demo page   {self._url}/",
                f'  Snippet     <script defer src="{self._url}/f.js"{attribute}></script>',
                f'  Query       {_command()} query{given} "{QUERY}"',
                f"  ClickHouse  {self._clickhouse_url}",
                f"  Metrics     http://{LOOPBACK}:{self._ports['internal-port']}/metrics",
                "",
                "Ctrl-C stops it, after everything accepted is stored.",
            )
        )

    # How it ends

    async def _end(self) -> int:
        if self._fault:
            _log.error(
                "%s; its own lines are above, those of Redis in %s", self._fault, self._data / "redis" / "redis.log"
            )
        else:
            _log.info(
                "stopping: what was accepted is stored first; again, or %d s, ends it at once",
                self._settings.stop_seconds,
            )
        is_orderly = await self._drain()
        for name in DRAIN_ORDER:
            if name in self._children:
                self._children[name].kill()
        left = self._left() if "redis" in self._children else ""
        await self._stop_redis()
        _say(left or ("Forebay has stopped." if self._fault else "Forebay has stopped; everything accepted is stored."))
        return 0 if is_orderly and not left and not self._fault else 1

    async def _drain(self) -> bool:
        patience = 0 if self._is_hurried or self._fault else self._settings.stop_seconds
        try:
            async with asyncio.timeout(patience) as self._patience:
                for name in DRAIN_ORDER:
                    if name in self._children:
                        await self._children[name].stop()
        except TimeoutError:
            return False
        finally:
            self._patience = None
        return True

    def _left(self) -> str:
        try:
            found = redis.rest(redis.socket_path(self._data / "redis"))
        except OSError as error:
            return f"Forebay has stopped; Redis did not say what it still holds ({error})."
        if not found:
            return ""
        shards = ", ".join(f"shard {shard}: {rows} events in {entries} entries" for shard, entries, rows in found)
        total = sum(rows for _, _, rows in found)
        return f"Forebay has stopped; {total} events wait in Redis for the next start ({shards})."

    async def _stop_redis(self) -> None:
        if "redis" not in self._children:
            return
        try:
            async with asyncio.timeout(REDIS_STOP_SECONDS):
                await self._children["redis"].stop()
        except TimeoutError:
            self._children["redis"].kill()


def _migrate_alone(client: ClickHouse) -> list[str]:
    return migrate.migrate(client.run, is_alone=True)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _command() -> str:
    """How this command was called: what the reader can paste."""
    if Path(sys.argv[0]).name != "forebay":
        return f"{sys.executable} -m forebay"
    return "forebay" if shutil.which("forebay") == str(Path(sys.argv[0]).resolve()) else os.path.relpath(sys.argv[0])


def add_options(parser: argparse.ArgumentParser) -> None:
    defaults = UpSettings()
    parser.add_argument("--data", help=f"where all data is kept (default: ./{defaults.data})")
    parser.add_argument("--host", help="where to listen; '' is everywhere (default: localhost)")
    parser.add_argument("--port", help=f"of the public listener; 0 is any free one (default: {defaults.port})")
    parser.add_argument("--internal-port", help=f"of /metrics, /healthz, /readyz (default: {defaults.internal_port})")
    parser.add_argument(
        "--clickhouse-port", help=f"of ClickHouse's HTTP interface (default: {defaults.clickhouse_port})"
    )
    parser.add_argument("--flusher-internal-port", help="as --internal-port, of the flusher (default: any free one)")
    parser.add_argument("--redis-port", help="let Redis listen on loopback too (default: a unix socket alone)")
    parser.add_argument("--workers", help=f"ingest processes (default: {defaults.workers})")
    parser.add_argument(
        "--site", dest="sites", action="append", help="a site to take events of, repeatable (default: any)"
    )
    parser.add_argument("--ready-file", help="write URLs and pids as JSON here once everything answers")


def command(options: argparse.Namespace) -> int:
    given: dict[str, Any] = {**vars(options), "sites": _joined(options.sites)}
    settings = config.load(UpSettings, "up", **given)
    log.set_up(settings.log_format)
    try:
        return asyncio.run(Up(settings).run())
    except (DataInUse, PortTaken, redis.RedisMissing) as error:
        sys.stderr.write(f"forebay up: {error}\n")
        return 1


def _joined(words: Sequence[str] | None) -> str | None:
    return None if words is None else ",".join(words)
