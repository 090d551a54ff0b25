"""Starts what the campaign attacks: `forebay up`, and beside it a second flusher and a second ingest tier behind
proxies.

    loadtest demo  ─▶ ingest ────────────▶ redis ◀──────────── flusher ─────────▶ clickhouse      `forebay up`
    loadtest other ─▶ ingest 2 ─▶ proxy ─▶   "   ◀─ proxy ◀─── flusher 2 ─▶ proxy ─▶   "          started here

The second pair gets the environment of the first, read from the running processes, with other ports and addresses. All
of them are started again when they die. Processes are found among the children of those that we started, never by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from forebay.embedded.redis import find_server
from runtime.children import Child, Command, answers
from runtime.settings import EXIT_SETTINGS
from tests.chaos.proxy import Proxy, Streams
from tests.chaos.surroundings import Clock, Filler
from tests.powercut.disk import Disk, Ext4, Unavailable
from tests.support.system import System, is_alive

LEASE_TTL_MS = 3_000
SHARDS = 3
SETTINGS = {
    "FOREBAY_LEASE_TTL_MS": str(LEASE_TTL_MS),
    "FOREBAY_SHARDS": str(SHARDS),
    "FOREBAY_BLOCK_AGE_MS": "200",  # small blocks, many INSERTs: more moments to be killed in
    "FOREBAY_RETRY_MS_MAX": "1000",
    "FOREBAY_REPLAY_TAIL_SECONDS": "10",  # trimming goes on all the time
    "FOREBAY_INSERT_TIMEOUT_SECONDS": "5",
}
HEAL_SECONDS = 240
POLL_SECONDS = 0.02
INSERT_MARK = b"insert_deduplication_token"
SCRIPT_MARK = b"EVALSHA"
OURS = ("up", "redis", "clickhouse", "ingest 0", "ingest tier", "flusher 0")
SECOND = ("ingest 2", "ingest tier 2", "flusher 2")
PROCESSES = (*OURS, *SECOND)
LINKS = ("flusher 2-clickhouse", "flusher 2-redis", "ingest 2-redis")


class Installation:
    """Runs everything, and knows it by name. It is used as an async context manager."""

    def __init__(self, directory: Path, chance: random.Random, disk: Disk | None) -> None:
        """Takes `disk` for the data if there is one: it can be full and its power can be cut. Logs stay in
        `directory`.
        """
        self.directory = directory
        self.disk = disk
        self.clock = Clock(directory)
        program = self.clock.settings(find_server("")[0])
        self.system = System(directory, "--redis-port", "0", **SETTINGS, **program)
        if disk is not None:
            self.system.data = disk.path / "data"
        self.filler = Filler(disk.path) if disk is not None else None
        self._chance = chance
        self._second: dict[str, Child] = {}
        self._tasks: list[asyncio.Task[None]] = []
        clickhouse, redis = INSERT_MARK, SCRIPT_MARK
        self.links = {
            "flusher 2-clickhouse": Proxy(connect=self._to_clickhouse, mark=clickhouse, chance=chance),
            "flusher 2-redis": Proxy(connect=self._to_redis, mark=redis, chance=chance),
            "ingest 2-redis": Proxy(connect=self._to_redis, mark=redis, chance=chance),
        }
        self._redis_socket = ""
        self._environments: dict[str, dict[str, str]] = {}
        self._clickhouse = ("", 0)
        self._ports: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        self.system.start()
        try:
            await self._begin()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def _begin(self) -> None:
        facts = await self.system.ready()
        at = urlsplit(facts["clickhouse_url"])
        assert at.hostname is not None
        assert at.port is not None
        self._clickhouse = (at.hostname, at.port)
        found = self.pids()
        environments = {name: environment_of(found[name]) for name in ("flusher 0", "ingest tier")}
        self._redis_socket = environments["flusher 0"]["FOREBAY_REDIS_URL"].removeprefix("unix://")
        for link in self.links.values():
            await link.start()
        self._ports = {name: free_port() for name in ("flusher", "ingest", "ingest internal")}
        self._environments = environments
        self._keep_all()
        await self.heal()

    def _keep_all(self) -> None:
        """Starts everything that does not run, now and whenever it dies."""
        environments = self._environments
        self._start("flusher 2", environments["flusher 0"], self._ports["flusher"], ("flusher",), {
            "FOREBAY_FLUSHER_INTERNAL_PORT": str(self._ports["flusher"]),
            "FOREBAY_CLICKHOUSE_URL": f"http://127.0.0.1:{self.links['flusher 2-clickhouse'].port}",
            "FOREBAY_REDIS_URL": f"redis://127.0.0.1:{self.links['flusher 2-redis'].port}/0",
        })  # fmt: skip
        tier = ("ingest", "--report-workers", "--run-dir", str(self.directory / "ingest-2"))
        self._start("ingest tier 2", environments["ingest tier"], self._ports["ingest internal"], tier, {
            "FOREBAY_PORT": str(self._ports["ingest"]),
            "FOREBAY_INTERNAL_PORT": str(self._ports["ingest internal"]),
            "FOREBAY_REDIS_URL": f"redis://127.0.0.1:{self.links['ingest 2-redis'].port}/0",
        })  # fmt: skip
        self._tasks.append(asyncio.create_task(self._keep_up()))

    async def __aexit__(self, *_: object) -> None:
        await self._kill_all()
        self.clock.forget()
        for link in self.links.values():
            if link.port:
                await link.close()
        if self.disk is not None:
            self.disk.close()

    async def _kill_all(self) -> None:
        """Kills everything, and stops starting it again."""
        pids = self.pids().values()
        for task in self._tasks:
            task.cancel()
        for child in self._second.values():
            child.kill()
        self.system.kill()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks.clear()
        for pid in pids:  # stopped ones whose parent died first, too
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self.system.until(lambda: not any(map(is_alive, pids)))

    async def cut_power(self) -> None:
        """Stops everything at one moment, and starts it again on what the disk held then."""
        assert self.disk is not None
        pids = list(self.pids().values())
        self._chance.shuffle(pids)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        await asyncio.to_thread(self.disk.snapshot)
        await self._kill_all()
        await asyncio.to_thread(self.disk.power_on)
        self._keep_all()

    def _start(self, name: str, base: dict[str, str], port: int, words: tuple[str, ...], own: dict[str, str]) -> None:
        log = self.directory / f"{name.replace(' ', '-')}.log"
        shell = ("/bin/sh", "-c", f'exec "$@" >>{log} 2>&1', "sh", sys.executable, "-m", *words)
        command = Command(
            name=name,
            words=shell,
            environment={**base, **own},
            is_ready=lambda: answers("127.0.0.1", port, "/readyz"),
            # Five kills before it was ready are this program's own doing: an init system would start it again.
            is_hopeless=lambda code, _: code == EXIT_SETTINGS,
        )
        child = Child(command=command, on_ready=lambda: None, on_given_up=_given_up)
        self._second[name] = child
        self._tasks.append(asyncio.create_task(child.keep()))

    async def _keep_up(self) -> None:
        """Starts `forebay up` again at once whenever it died, as an init system would."""
        while True:
            if not self.system.is_running():
                self.system.start()
            await asyncio.sleep(POLL_SECONDS)

    async def _to_clickhouse(self) -> Streams:
        return await asyncio.open_connection(*self._clickhouse)

    async def _to_redis(self) -> Streams:
        return await asyncio.open_unix_connection(self._redis_socket)

    @property
    def urls(self) -> dict[str, str]:
        """Returns where events go, by their site."""
        return {"demo": self.system.facts()["url"], "other": f"http://127.0.0.1:{self._ports['ingest']}"}

    @property
    def clickhouse_url(self) -> str:
        return f"http://{self._clickhouse[0]}:{self._clickhouse[1]}"

    @property
    def redis_socket(self) -> Path:
        """Returns the socket on which Redis itself listens, behind no proxy."""
        return Path(self._redis_socket)

    def pids(self) -> dict[str, int]:
        """Returns the processes that live now, by name."""
        up = self.system.pid() if self.system.is_running() else None
        found = {} if up is None else {"up": up} | {_name(words): pid for pid, words in children(up) if _name(words)}
        for name, child in self._second.items():
            if child.pid is not None:
                found[name] = child.pid
        for tier, worker in (("ingest tier", "ingest 0"), ("ingest tier 2", "ingest 2")):
            for pid, words in children(found.get(tier, 0)):
                if "--worker" in words:
                    found[worker] = pid
        return {name: pid for name, pid in found.items() if is_alive(pid)}

    async def heal(self) -> None:
        """Lets go of every link, process, disk and clock, and waits until all processes answer."""
        for link in self.links.values():
            link.heal()
        if self.filler is not None:
            self.filler.free()
        if self.clock.is_settable:
            self.clock.set(0)
        for pid in self.pids().values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        async with asyncio.timeout(HEAL_SECONDS):
            while not await self._is_well():
                await asyncio.sleep(POLL_SECONDS)

    async def _is_well(self) -> bool:
        if not self.system.is_ready() or len(self.pids()) < len(PROCESSES):
            return False
        facts = self.system.facts()
        ports = [urlsplit(facts[name]).port or 0 for name in ("internal_url", "flusher_internal_url")]
        ports += [self._ports["flusher"], self._ports["ingest internal"]]
        return all([await answers("127.0.0.1", port, "/readyz") for port in ports])

    def logs(self) -> Iterator[Path]:
        """Yields the files into which the product's processes log."""
        yield self.system.log
        yield from self.directory.glob("*-2.log")


def _given_up(why: str) -> None:
    """Says why the next wait for all processes will end in a time-out: nothing starts this one again."""
    sys.stderr.write(f"{why}\n")


def own_disk(directory: Path, *, say: Callable[[str], None]) -> Disk | None:
    """Returns a disk that can be full and whose power can be cut; or None, and says so, if this machine can't
    have one.
    """
    try:
        return Ext4(directory)
    except Unavailable as error:
        say(f"no disk of its own, so no power cut and no full disk: {error}")
        return None


def _name(words: list[str]) -> str:
    """Returns which child of `forebay up` has this command line; "" between its fork and exec."""
    if words and "redis-server" in words[0]:
        return "redis"
    modules = {"forebay.embedded.clickhouse": "clickhouse", "ingest": "ingest tier", "flusher": "flusher 0"}
    return modules.get(words[2], "") if words[1:2] == ["-m"] else ""


def children(pid: int) -> list[tuple[int, list[str]]]:
    """Returns the pids and command lines of the children of a process."""
    found: list[tuple[int, list[str]]] = []
    with contextlib.suppress(OSError):
        for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()):
            with contextlib.suppress(OSError):
                found.append((child, Path(f"/proc/{child}/cmdline").read_text("utf-8").split("\0")))
    return found


def environment_of(pid: int) -> dict[str, str]:
    """Returns the environment that a process was started with."""
    pairs = Path(f"/proc/{pid}/environ").read_text("utf-8").split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def free_port() -> int:
    """Returns a port that is free now. Port 0 won't do, because a restart must find the same one again."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])
