"""Appends commits to Redis, each exactly once.

The append is a script. It takes exactly a producer's next commit of a shard, answers an older
number with `done`, refuses a higher one (docs/delivery.md, rule 1), and moves the totals of
`accepted` in the same atomic step (I7). With `appendfsync always` its answer means that the commit
is fsynced. Where that setting can't be read, WAITAOF follows on the same connection, and its answer
means it.

An append is a coroutine, or on an open connection a call with a callback (`send`), which is the usual way.

A new connection may lead to a Redis that was started otherwise than the last one. So each connection
is asked, before the first append, whether this Redis keeps what it answers (durability.py).

Errors say what may have happened: `Refused` (nothing was appended), `Unclear` (perhaps it was),
`Gap` (a commit before this one is missing).

Not promised: durability beyond the one Redis that answered (docs/architecture.md).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from ingest.commit.answers import GAP, Gap, Refused, Unclear, gap, meaning, translated, unfsynced
from ingest.commit.common import Common
from ingest.commit.durability import Durability
from ingest.commit.pipe import Ask, Pipe, Script, Sender
from ingest.commit.pipes import Pipes
from ingest.commit.salt_wire import SaltWire
from runtime.nodes.routes import Routes
from runtime.redis import (
    RedisError,
    ResponseError,
    client,
    doubt,
)
from runtime.replicas import agreed, recorded
from schemas.durability import CONFIG, INFO, PROBE, Facts, Proof, summary
from schemas.redis.address import Address, Kind
from schemas.redis.keys import (
    Keys,
    limit_key,
)
from schemas.redis.scripts import script
from schemas.replication import acknowledged, waiting
from schemas.segment import Commit

log = logging.getLogger(__name__)
LIMIT = script("limit")
WAIT_SECONDS = 3.0  # `everysec` fsyncs each second, and up to one later when the last one takes long
WAITAOF = ("WAITAOF", 1, 0, int(WAIT_SECONDS * 1000))
UNTOLD = ("ERR", "NOPERM")  # codes of errors that mean: this Redis does not tell. Any other means: not now


Taken = tuple[float, int, int, float]  # of a bucket: what limit.lua is told
Done = Callable[[BaseException | None], None]  # hears None, or Unclear, Refused or Gap; any other error is a bug


class RedisStream(Common):
    """Appends commits, and reads what all workers share."""

    def __init__(self, url: str, *, timeout_ms: int, durability: Durability | None = None, replicas: int = 0) -> None:
        """Takes in `durability` what judges a Redis. Without it none is refused, and an answer is taken for an fsync.

        `replicas` is the number of replicas that can be promoted (rule 17 of docs/delivery.md).
        """
        self._timeout_seconds = timeout_ms / 1000
        address = Address.parse(url)
        routes = None if address.kind is Kind.ONE else Routes(address, seconds=self._timeout_seconds)
        redis = client(url, seconds=self._timeout_seconds, connect_seconds=self._timeout_seconds, routes=routes)
        super().__init__(redis, durability, SaltWire(url, seconds=self._timeout_seconds, routes=routes))
        self._pipe = self._made(url, routes, is_greeting=durability is not None)
        self._append = Script(self._pipe, script("append"))
        self._limit = Script(self._pipe, LIMIT)
        self._own_replicas = self._replicas = replicas
        self._wait = waiting(None, replicas, timeout_ms)
        # Redis does nothing else for a connection that waits, so appends have another one.
        self._confirming = self._made(url, routes, is_greeting=False)
        self._confirming.timeout_seconds = 2 * self._timeout_seconds
        self._confirm = Script(self._confirming, script("confirm"))
        self._tasks: set[asyncio.Task[None]] = set()  # the loop keeps no task alive by itself

    def _made(self, url: str, routes: Routes | None, *, is_greeting: bool) -> Sender:
        if routes is None:
            return Pipe(url, timeout_seconds=self._timeout_seconds, greet=self._greet if is_greeting else None)
        return Pipes(routes, timeout_seconds=self._timeout_seconds, greet=self._greet_server if is_greeting else None)

    async def _doubt(self) -> None:
        """Has every client look again where its server is, because the one that answers may be an old primary."""
        self._pipe.doubt()
        self._confirming.doubt()
        await doubt(self._redis)

    @property
    def replicas(self) -> int:
        """Returns how many replicas have to have a commit."""
        return self._replicas

    async def agree(self) -> None:
        """Goes by the number of replicas that holds for the whole installation from now on. Raises Unclear or Refused."""
        async with translated():
            self._replicas = await agreed(self._redis, self._own_replicas)
        self._learn()

    def _learn(self) -> None:
        """Learns by which command all servers wait for their replicas."""
        oldest = None if self._durability is None else self._durability.oldest
        self._wait = waiting(oldest, self._replicas, int(self._timeout_seconds * 1000))

    async def recorded_replicas(self) -> int:
        """Returns the number of replicas that holds for the whole installation now. Raises Unclear or Refused."""
        async with translated():
            return await recorded(self._redis, self._own_replicas, self._replicas)

    def server_of(self, shard: int) -> str:
        """Returns the address of the server that has this shard; an empty text where there is one, or it is not known."""
        return self._pipe.name_of(Keys(shard).log)

    async def append(self, shard: int, producer: str, commit: Commit) -> None:
        """Appends one commit. When it returns, the commit is in the stream, once, and fsynced, and all replicas have it.

        Without rows only the producer's number moves: this stands for a commit that a damaged spool lost. Raises Unclear, Refused or Gap.
        """
        await self._appended(shard, producer, commit, is_confirmed=self._replicas > 0)

    async def _appended(self, shard: int, producer: str, commit: Commit, *, is_confirmed: bool) -> None:
        keys, args = _command(shard, producer, commit)
        is_waiting = self._is_waiting
        fsynced = 0
        async with translated():
            if is_waiting:
                said, (fsynced, _) = await self._append.confirmed(WAITAOF, keys=keys, args=args)
            else:
                said = await self._append(keys=keys, args=args)
        if said.startswith(GAP):
            raise await self._believed(shard, producer, commit.number, _known(said), is_confirmed=is_confirmed)
        if self._is_waiting and not fsynced:
            # also when it was a new connection that told us to wait: the next try does
            raise unfsynced(WAIT_SECONDS if is_waiting else 0)
        if is_confirmed and await self.confirmed(shard, producer) < commit.number:
            raise Unclear(f"commit {commit.number} of {producer} was appended, and is gone: Redis failed over")

    async def _believed(
        self, shard: int, producer: str, number: int, known: int, *, is_confirmed: bool
    ) -> Gap | Unclear:
        """Returns what a gap means that one server told: where there are replicas, it is one only if they lack the commits too.

        An old primary that was succeeded tells the truth about itself. Raises Unclear or Refused.
        """
        found = gap(shard, producer, number, known)
        if not is_confirmed:
            return found
        known = await self.confirmed(shard, producer)
        if known >= number - 1:
            return Unclear(f"{found}, says a Redis that was succeeded by its replica")
        return gap(shard, producer, number, known)

    async def confirmed(self, shard: int, producer: str) -> int:
        """Returns the number of the producer's last commit that Redis and all its replicas have. Raises Unclear or Refused.

        Both answers come from one connection, so a server that was succeeded by a replica of its own confirms nothing.
        """
        async with translated():
            number, answer = await self._confirm.confirmed(self._wait, keys=[Keys(shard).producers], args=[producer])
        if acknowledged(answer) < self._replicas:
            await self._doubt()
            raise Unclear(f"{acknowledged(answer)} of {self._replicas} replicas have what was appended")
        return int(number)

    def send(self, shard: int, producer: str, commit: Commit, done: Done, *, is_confirmed: bool = False) -> None:
        """Appends one commit, and calls `done` once, never from inside: with None, or with what `append` would raise.

        On an open connection there is neither a task nor a future. A connection that is yet to be opened, and a Redis
        that must be asked with WAITAOF, take a task. So does a commit that all replicas must have before it is done.
        """
        keys, args = _command(shard, producer, commit)
        if is_confirmed or self._is_waiting or not self._pipe.reaches(keys[0]):
            self._apart(self._appended(shard, producer, commit, is_confirmed=is_confirmed), done)
            return

        def heard(said: Any) -> None:
            if isinstance(said, RedisError):
                done(meaning(said))
            elif said.startswith(GAP):
                done(gap(shard, producer, commit.number, _known(said)))
            elif self._is_waiting:  # since it was sent Redis told that it must be asked
                done(unfsynced(0))
            else:
                done(None)

        self._append.call(heard, keys=keys, args=args)

    def _apart(self, append: Coroutine[Any, Any, None], done: Done) -> None:
        """Appends in a task. If that is cancelled, `done` is not called: the worker ends."""

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled():
                done(task.exception())

        task = asyncio.create_task(append, name="append")
        self._tasks.add(task)
        task.add_done_callback(ended)

    @property
    def _is_waiting(self) -> bool:
        """Says whether WAITAOF follows an append."""
        return self._durability is not None and self._durability.proof is Proof.WAITAOF

    async def look(self) -> None:
        """Tells `durability` what each server says of itself now. Raises Unclear or Refused if none says it.

        A server that does not answer, or may not be used, keeps no other from being heard.
        """
        async with translated():
            pipes = await self._pipe.all()
            faults: list[Exception] = []
            for server, pipe in pipes.items():
                try:
                    await self._hear(pipe.command, server)
                except (RedisError, OSError) as error:
                    faults.append(error)
            if self._durability is not None:
                self._durability.keep(pipes)
            if len(faults) == len(pipes):
                raise faults[0]

    async def _greet(self, ask: Ask) -> None:
        await self._hear(ask)
        if self._durability is not None and self._durability.faults:
            raise Refused(summary(self._durability.faults))

    async def _greet_server(self, server: str, ask: Ask) -> None:
        """Raises an answer that refuses, because the commands of other shards wait on other servers' connections."""
        await self._hear(ask, server)
        if self._durability is not None and (faults := self._durability.faults_of(server)):
            raise ResponseError(f"{server}: {summary(faults)}")

    async def _hear(self, ask: Ask, server: str = "") -> None:
        if self._durability is None:
            return
        info, config, probe = await _told(ask, *INFO), await _told(ask, *CONFIG), None
        if config is None:
            probe = await _told(ask, *PROBE)
        facts = Facts.of(info, config, probe)
        self._durability.hear(facts, server)
        if facts.info.get("role", "master") != "master":
            await self._doubt()
        self._learn()
        self._pipe.timeout_seconds = self._timeout_seconds + (WAIT_SECONDS if self._is_waiting else 0)

    async def take(self, buckets: Mapping[int, Taken]) -> list[float | None]:
        """Takes events from buckets that all workers share, and returns how many each holds then.

        None stands for what Redis did not do, or did not say. Buckets whose server has no open connection are not asked for.
        """
        loop = asyncio.get_running_loop()
        answers: list[asyncio.Future[Any]] = []
        for number, taken in buckets.items():
            answers.append(answer := loop.create_future())
            key = limit_key(number)
            if self._pipe.reaches(key):
                self._limit.call(partial(_answered, answer), keys=[key], args=list(map(str, taken)))
            else:
                answer.set_result(None)
        return [None if isinstance(said, RedisError | None) else float(said) for said in await asyncio.gather(*answers)]

    async def close(self) -> None:
        """Closes all connections, and ends the appends that wait for one."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._redis.aclose()
        await self._pipe.close()
        await self._confirming.close()


async def _told(ask: Ask, *question: str) -> Any:
    """Returns the answer, or None if the question is forbidden or unknown."""
    try:
        return await ask(*question)
    except ResponseError as error:
        if str(error).split(" ", 1)[0] in UNTOLD:
            return None
        raise


def _known(said: bytes) -> int:
    """Returns the number of the producer's last commit, which stands in an answer that says `gap`."""
    return int(said.removeprefix(GAP))


def _answered(answer: asyncio.Future[Any], said: Any) -> None:
    if not answer.done():
        answer.set_result(said)


def _command(shard: int, producer: str, commit: Commit) -> tuple[list[str], list[Any]]:
    """Returns the keys and arguments of the script that appends."""
    keys = Keys(shard)
    number, data, rows, accepted = commit
    totals = [part for item in accepted.items() for part in item]
    return [keys.log, keys.producers, keys.accepted, keys.seen], [producer, number, data, rows, *totals]
