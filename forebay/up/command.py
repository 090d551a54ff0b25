"""`forebay up`: runs everything on one machine: a real Redis, the ClickHouse engine, ingest and a flusher.

    redis ──▶ ingest (its tier supervises the workers)      each starts as soon as what it needs answers
    clickhouse ──▶ migrations ──▶ flusher
        └──▶ dashboard

They are the processes that production runs; the environment tells them where the others are. A child that dies is
started again (runtime/children.py). We hold the ports, so a child that is started again has the same ones.

The dashboard only shows what is stored. If it can't be started, an error is logged, and everything else goes on.

Stopping follows the way of events: the dashboard ends, ingest drains into Redis, the flusher drains into ClickHouse, then the two close. A
second ctrl-C, or `stop_seconds`, ends all of it at once and says how many events stay in Redis for the next start. No
acknowledged event is lost by that, nor by SIGKILL.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import json
import logging
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from forebay import config, modes
from forebay.backup import files
from forebay.clickhouse import ClickHouse, ClickHouseError
from forebay.commands import migrate
from forebay.embedded import redis
from forebay.embedded.engine_record import WrongEngine
from forebay.embedded.real_clickhouse import ServerMissing
from forebay.embedded.sockets import forget as forget_socket
from forebay.lock import DataInUse, lock
from forebay.up import options as up_options
from forebay.up import room
from forebay.up.plan import Plan, counters_directory, hold_ports
from runtime import log, zones
from runtime.children import Child, Command
from runtime.hosts import public_origin
from runtime.ports import PortTaken
from runtime.settings import EXIT_SETTINGS
from schemas.host import NoSiteName, named_site
from schemas.keys import EVERY_SITE
from schemas.runfile import RUN_FILE
from schemas.settings import PAGE, UpSettings

DRAIN_ORDER = ("dashboard", "ingest", "flusher", "clickhouse")
DISPENSABLE = {"dashboard"}  # what else runs does not need them, and goes on when they are given up
REDIS_STOP_SECONDS = 5  # enough, because Redis has nothing to write at its end: every answer was fsynced
FACTS_SECONDS = 1  # between two tries to write the ready file
WAITING_SECONDS = 10  # a start that takes longer says what it waits for
_log = logging.getLogger("forebay.up")

add_options = up_options.add_options  # what the command line calls (forebay/command_line.py)


class Up:
    """Does one run, from the lock on the data directory to the exit code."""

    def __init__(self, settings: UpSettings) -> None:
        self._settings = settings
        self._began = time.monotonic()
        self._is_text = log.is_text(settings.log_format)
        self._data = Path(settings.data).resolve()
        self._files = [self._data / RUN_FILE, *([Path(settings.ready_file)] if settings.ready_file else [])]
        self._children: dict[str, Child] = {}
        self._workers: list[int] = []
        self._plan: Plan | None = None  # once everything was ready
        self._fault = ""
        self._stop = asyncio.Event()
        self._patience: asyncio.Timeout | None = None
        self._is_hurried = False
        self._is_refused = False  # by what the tables are: another start would end as this one does

    async def run(self) -> int:
        """Starts everything, serves until told to stop, stops everything, and returns the exit code.

        Raises DataInUse, PortTaken, RedisMissing, ServerMissing, WrongEngine and Unreleased.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # under nohup a hang-up must not stop us
            loop.add_signal_handler(signal.SIGHUP, self._on_signal if _has_terminal() else self._reload)
        with contextlib.ExitStack() as held:
            locked = lock(self._data)
            held.callback(os.close, locked)
            if count := modes.tighten(self._data):
                _log.warning(
                    "others could read %d of the files and directories of %s: now only you can", count, self._data
                )
            sockets, numbers = hold_ports(self._settings)
            for one in sockets:
                held.enter_context(one)
            self._forget()
            files.forget(self._data)
            left = migrate.left(self._data / "tables")
            held.callback(self._forget)
            held.callback(shutil.rmtree, counters_directory(self._data), ignore_errors=True)
            plan = Plan(self._settings, data=self._data, numbers=numbers, called=_called())
            for path in (plan.redis_socket, plan.storing_socket, plan.reader_socket):
                held.callback(forget_socket, path)
            commands = plan.commands(locked, self._on_workers, None if self._is_text else log.relay)
            _log.info("Redis %s, %s", plan.redis_server.release, plan.redis_server.program)
            async with asyncio.TaskGroup() as tasks:
                starting = tasks.create_task(self._start(tasks, plan, commands, left))
                waiting = tasks.create_task(self._say_what_is_missing())
                await self._stop.wait()
                starting.cancel()
                waiting.cancel()
                return await self._end()

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._is_hurried = True
            if self._patience is not None:
                self._patience.reschedule(asyncio.get_running_loop().time())
        self._stop.set()

    def _reload(self) -> None:
        """Has ingest's workers replaced one by one, and so its settings read again; nothing else changes."""
        tier = self._children.get("ingest")
        if tier is None or tier.pid is None or self._stop.is_set():
            return
        _log.info("SIGHUP: ingest's workers are replaced one by one; other settings are read at the next start")
        os.kill(tier.pid, signal.SIGHUP)

    def _give_up(self, fault: str) -> None:
        self._fault = fault
        self._stop.set()

    def _do_without(self, fault: str) -> None:
        _log.error("%s; its own lines are above. Everything else goes on without it", fault)

    def _launch(self, tasks: asyncio.TaskGroup, command: Command) -> Child:
        on_given_up = self._do_without if command.name in DISPENSABLE else self._give_up
        child = Child(command=command, on_ready=self._on_change, on_given_up=on_given_up)
        self._children[command.name] = child
        tasks.create_task(child.keep(), name=command.name)
        return child

    async def _start(self, tasks: asyncio.TaskGroup, plan: Plan, commands: dict[str, Command], left: str) -> None:
        """Starts everything. `left` is what the directory's tables were left as; empty: nothing was ever stored."""
        is_fresh = not left and not (self._data / "clickhouse" / "engine").exists()
        store = self._launch(tasks, commands["redis"])
        # Before Redis answers: it starts slowly and asks Redis last (0.1 s less).
        tier = self._launch(tasks, commands["ingest"])
        engine = self._launch(tasks, commands["clickhouse"])
        await store.ready.wait()
        version = migrate.version()
        if left == version:
            self._launch(tasks, commands["flusher"])
        # It loads while the engine does: ingest takes half as long, and leaves it a processor.
        await _first_of(tier.ready_or_ended(), engine.ready.wait())
        self._launch(tasks, commands["dashboard"])
        await engine.ready.wait()
        if is_fresh:  # new tables are there when the flusher has loaded; older ones might refuse what it inserts
            self._launch(tasks, commands["flusher"])
        await self._migrate(plan.storing_client)
        (self._data / "tables").write_text(version, "ascii")
        if "flusher" not in self._children:
            self._launch(tasks, commands["flusher"])
        for child in self._children.values():
            await child.ready_or_ended()
        self._plan = plan
        self._on_change()
        short = list(room.shortages(plan.needs()))
        for line in short:
            _log.critical("%s", line)
        seconds = time.monotonic() - self._began
        self._say(plan.banner(seconds, short) if self._is_text else plan.announcement(seconds, short))
        try:
            config.tell_systemd("READY=1")
        except OSError as error:
            _log.error("systemd can't be told that Forebay is ready, and waits: %s", error)

    async def _migrate(self, client: ClickHouse) -> None:
        try:
            # The pool ends here, because the children are forked from a process without threads.
            with ThreadPoolExecutor(1) as pool:
                await asyncio.get_running_loop().run_in_executor(pool, _migrate_alone, client)
        except (ClickHouseError, migrate.MigrationChanged, migrate.Unreleased) as error:
            self._is_refused = not isinstance(error, ClickHouseError)
            self._give_up(f"the tables cannot be brought to this version: {error}")
            await asyncio.Event().wait()  # until we are cancelled, so that nothing else is started

    async def _say_what_is_missing(self) -> None:
        while True:
            await asyncio.sleep(WAITING_SECONDS)
            if missing := awaited(self._children, is_ready=self._plan is not None):
                _log.warning("waiting for %s", ", ".join(missing))

    def _on_workers(self, line: bytes) -> None:
        self._workers = json.loads(line)["workers"]
        self._on_change()

    def _on_change(self) -> None:
        """Writes the ready file again, whole or not at all."""
        if self._plan is None:
            return
        children = self._children
        alone = {name: children[name].pid for name in ("redis", "clickhouse", "dashboard")}
        pids = alone | {"ingest": self._workers, "flusher": [children["flusher"].pid]}
        content = self._plan.facts(pids).encode()
        try:
            for path in self._files:
                path.parent.mkdir(parents=True, exist_ok=True)
                fresh = path.with_name(f".{path.name}.{os.getpid()}")
                fresh.write_bytes(content)
                if path != self._data / RUN_FILE:
                    fresh.chmod(0o644)  # another user may have asked for it
                fresh.replace(path)
        except OSError as error:  # a full disk must not end a service that still answers
            _log.warning("%s; trying again in %d s", error, FACTS_SECONDS)
            asyncio.get_running_loop().call_later(FACTS_SECONDS, self._on_change)

    def _forget(self) -> None:
        for path in self._files:
            path.unlink(missing_ok=True)

    async def _end(self) -> int:
        if self._fault:
            _log.error(
                "%s; its own lines are above, and those of Redis in %s", self._fault, self._data / "redis" / "redis.log"
            )
        else:
            _log.info(
                "stopping: what was accepted is stored first; a second signal, or %d s, ends it at once",
                self._settings.stop_seconds,
            )
        is_orderly = await self._drain()
        for name in DRAIN_ORDER:
            if name in self._children:
                self._children[name].kill()
        left = self._left() if "redis" in self._children else ""
        await self._stop_redis()
        self._say(
            left or ("Forebay has stopped." if self._fault else "Forebay has stopped; everything accepted is stored.")
        )
        if self._is_refused or any(
            child.is_misconfigured for name, child in self._children.items() if name not in DISPENSABLE
        ):
            return EXIT_SETTINGS
        return 0 if is_orderly and not left and not self._fault else 1

    def _say(self, text: str) -> None:
        """Prints for people on stdout; where the log is JSON, writes a line of it."""
        if self._is_text:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
        else:
            _log.info("%s", text)

    async def _drain(self) -> bool:
        patience = 0 if self._is_hurried or self._fault else self._settings.stop_seconds
        try:
            async with asyncio.timeout(patience) as self._patience:
                for name in DRAIN_ORDER:
                    if name in self._children:
                        if name == "flusher" and self._plan is not None and self._left():
                            # it may have died a moment ago, and nobody else can store what waits
                            await self._children[name].ready.wait()
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
        if "redis" in self._children:
            await self._children["redis"].stop(REDIS_STOP_SECONDS)


def awaited(children: Mapping[str, Child], *, is_ready: bool) -> list[str]:
    """Returns what is waited for: processes, or else the tables. `is_ready` says that everything was ready once."""
    processes = [name for name, child in children.items() if not (child.ready.is_set() or child.has_ended)]
    return processes if processes or is_ready else ["the tables, which are brought to this version"]


async def _first_of(*waits: Coroutine[Any, Any, object]) -> None:
    """Returns when the first of these does, and cancels the others."""
    tasks = [asyncio.ensure_future(one) for one in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _migrate_alone(client: ClickHouse) -> list[str]:
    return migrate.migrate(client.run, is_alone=True)


def _has_terminal() -> bool:
    """Tells whether we have a terminal, which can hang up on us; a service has none."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _called() -> str:
    """Returns how this command was called, in a form that the reader can paste."""
    if Path(sys.argv[0]).name != "forebay":
        return f"{shlex.quote(sys.executable)} -m forebay"
    if shutil.which("forebay") == str(Path(sys.argv[0]).resolve()):
        return "forebay"
    return shlex.quote(os.path.relpath(sys.argv[0]))


def command(options: argparse.Namespace) -> int:
    given: dict[str, Any] = {**vars(options), "sites": _joined(options.sites)}
    settings = config.up_settings(**given)
    if found := list(_faults(settings)):
        return _refused(settings, "\n".join(found), EXIT_SETTINGS)
    if (
        not settings.clickhouse_server and importlib.util.find_spec("chdb") is None
    ):  # it is 960 MB, and therefore an extra: the tiers alone don't need it
        return _refused(
            settings, "the ClickHouse engine is not installed: pip install 'forebay[embedded]'", EXIT_SETTINGS
        )
    log.set_up(settings.log_format)
    os.umask(modes.OTHERS)  # the children inherit it: what is stored about visitors is for this user alone
    for line in config.unknown():
        _log.warning(line)
    try:
        return asyncio.run(Up(settings).run())
    except (redis.RedisMissing, ServerMissing, WrongEngine, migrate.Unreleased) as error:
        return _refused(settings, str(error), EXIT_SETTINGS)
    except (DataInUse, PortTaken) as error:
        return _refused(settings, str(error), 1)
    except OSError as error:
        return _refused(settings, f"{settings.data}: {error}", 1)


def _faults(settings: UpSettings) -> Iterator[str]:
    """Yields what is wrong with settings beyond their types. What would take no event, or be loaded by no page, is refused."""
    try:
        zones.load(settings.timezone)
    except zones.UnknownZone as error:
        yield f"FOREBAY_TIMEZONE: {error} (see {PAGE}#timezone)"
    for name in settings.sites:
        try:
            named_site(name, every=EVERY_SITE)
        except NoSiteName as error:
            yield f"FOREBAY_SITES: {error} (see {PAGE}#sites)"
    if settings.dashboard_url:
        try:
            public_origin(settings.dashboard_url)
        except ValueError as error:
            yield f"FOREBAY_DASHBOARD_URL: {error} (see {PAGE}#dashboard_url)"
    if settings.public_url and not _is_address(settings.public_url):
        example = "write https://stats.example.com"
        yield f"FOREBAY_PUBLIC_URL: {settings.public_url!r} is no address: {example} (see {PAGE}#public_url)"


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # of brackets, where it sees one
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _refused(settings: UpSettings, text: str, code: int) -> int:
    """Says why nothing is started, and returns the exit code that the caller chose.

    It is 2 if somebody has to change something first, and 1 if trying again may help.
    """
    log.refuse(f"forebay up: {text}", "text" if log.is_text(settings.log_format) else "json")
    return code


def _joined(words: Sequence[str] | None) -> str | None:
    return None if words is None else ",".join(words)
