"""Measures what more primaries of a Redis Cluster carry: `python -m loadtest.bench.primaries`.

    one primary, two, three, one, ... and again: LANES lanes append to SHARDS shards, each one commit after the other

It starts a cluster for each number, of redis-servers that fsync each write. CPU time of Redis is what counts, so it may run beside
other work: the figure is how many appends a second the busiest primary could take if it had a whole core for itself. The appends
that were seen are shown too; on a small machine the clients and the disk are what they are limited by.

Not promised: that shards are as even elsewhere. Here each primary has as many as another.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from loadtest.bench import children
from loadtest.bench.ask import BenchError
from loadtest.bench.config import environment
from runtime import redis
from runtime.listen import listen
from runtime.nodes.layout import SLOTS, slot_of
from runtime.redis import Redis, RedisError
from schemas.redis.keys import Keys
from schemas.redis.scripts import script

PRIMARIES = (1, 2, 3)
SHARDS, LANES = 12, 96
ROUNDS, SECONDS = 3, 3
ENTRY, ROWS = bytes(range(256)) * 2, 4  # about what a commit of a lane with few events has
BUS = 10_000  # so much higher than its port a node's bus listens
START_SECONDS = 120.0


class Round(NamedTuple):
    """Holds what one round found: appends that were answered in so many seconds, and the CPU seconds of each primary."""

    appends: int
    seconds: float
    cpu: tuple[float, ...]

    @property
    def ceiling(self) -> float:
        """Returns how many appends a second there would be if the busiest primary used one core."""
        return self.appends / max(self.cpu)


@contextlib.contextmanager
def cluster(directory: Path, program: str, primaries: int) -> Iterator[str]:
    """Runs a cluster of so many primaries, and yields its URL."""
    ports = _ports(primaries)
    with contextlib.ExitStack() as stack:
        for port in ports:
            home = directory / str(port)
            home.mkdir()
            words = [program, "--port", port, "--bind", "127.0.0.1", "--dir", home, "--save", "", "--appendonly", "yes"]
            words += ["--appendfsync", "always", "--cluster-enabled", "yes", "--daemonize", "no"]
            process = children.start(
                [str(word) for word in words], directory=home, log=home / "log", environment=environment()
            )
            stack.callback(children.end, process, signal.SIGTERM)
        clients = [
            stack.enter_context(redis.blocking_client(f"redis://127.0.0.1:{port}", seconds=START_SECONDS))
            for port in ports
        ]
        _join(clients, ports)
        yield "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in ports)


def _join(clients: list[Any], ports: list[int]) -> None:
    """Gives each primary the same number of shards, and about as many slots, and waits until all agree."""
    of_shards = {slot_of(Keys(shard).log): shard % len(ports) for shard in range(SHARDS)}
    until = time.monotonic() + START_SECONDS
    _wait(until, lambda: all(client.ping() for client in clients))
    for at, client in enumerate(clients):
        client.execute_command(
            "CLUSTER", "ADDSLOTS", *(slot for slot in range(SLOTS) if of_shards.get(slot, slot % len(ports)) == at)
        )
        client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", at + 1)
    for port in ports[1:]:
        clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", port)
    _wait(until, lambda: all(b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO") for client in clients))


def _wait(until: float, is_so: Any) -> None:
    while True:
        with contextlib.suppress(RedisError, OSError):
            if is_so():
                return
        if time.monotonic() > until:
            raise BenchError("the cluster does not come up")
        time.sleep(0.05)


def _ports(count: int) -> list[int]:
    """Returns free ports on whose bus nobody listens either."""
    found: list[int] = []
    while len(found) < count:
        sockets, port = listen("127.0.0.1", 0)
        for one in sockets:
            one.close()
        with contextlib.suppress(OSError):
            bus, _ = listen("127.0.0.1", port - BUS)
            for one in bus:
                one.close()
            found.append(port - BUS)
    return found


async def measured(url: str, seconds: float) -> Round:
    """Appends for so many seconds, and returns what was found."""
    client = redis.client(url, seconds=30)
    append = client.register_script(script("append"))
    primaries = await redis.servers(client)
    before = [await _cpu(one) for one in primaries.values()]
    began = time.monotonic()
    counts = await asyncio.gather(*(_lane(append, lane % SHARDS, began + seconds) for lane in range(LANES)))
    took = time.monotonic() - began
    after = [await _cpu(one) for one in primaries.values()]
    await client.aclose()
    return Round(sum(counts), took, tuple(late - early for early, late in zip(before, after, strict=True)))


async def _lane(append: Any, shard: int, until: float) -> int:
    keys, producer, number = Keys(shard), secrets.token_hex(8), 0
    names = [keys.log, keys.producers, keys.accepted, keys.seen]
    while time.monotonic() < until:
        number += 1
        said = await append(keys=names, args=[producer, number, ENTRY, ROWS, "29833333 example.org", ROWS])
        if said != b"ok":
            raise BenchError(f"an append was answered {said}")
    return number


async def _cpu(client: Redis) -> float:
    told: Any = await client.info("cpu")
    return float(told["used_cpu_sys"]) + float(told["used_cpu_user"])


def main() -> int:
    """Runs the command, and prints a line for each number of primaries."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.bench.primaries", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument(
        "--redis-server", default=shutil.which("redis-server") or "", help="the program (default: of PATH)"
    )
    options = parser.parse_args()
    if not options.redis_server:
        sys.stderr.write("no redis-server: say which with --redis-server\n")
        return 1
    program = str(Path(options.redis_server).resolve())  # servers have directories of their own
    found: dict[int, list[Round]] = {primaries: [] for primaries in PRIMARIES}
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        urls = {}
        for primaries in PRIMARIES:
            home = Path(directory) / str(primaries)
            home.mkdir()
            urls[primaries] = stack.enter_context(cluster(home, program, primaries))
        for _ in range(options.rounds):
            for primaries, url in urls.items():
                found[primaries].append(asyncio.run(measured(url, options.seconds)))
    sys.stdout.write(
        f"{LANES} lanes, {SHARDS} shards, commits of {ROWS} events, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n"
    )
    sys.stdout.write("primaries  appends/s seen  CPU µs an append  appends/s at a core each  ratio to one\n")
    one = median(each.ceiling for each in found[1])
    for primaries, rounds in found.items():
        seen = median(each.appends / each.seconds for each in rounds)
        cost = median(sum(each.cpu) / each.appends for each in rounds) * 1e6
        ceiling = median(each.ceiling for each in rounds)
        sys.stdout.write(f"{primaries:9}  {seen:14,.0f}  {cost:16.1f}  {ceiling:24,.0f}  {ceiling / one:12.2f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
