"""Reads what decisions are made by, so that it comes from the server that they will be carried out on (docs/delivery.md, rule 17).

While a primary is succeeded, a client may have connections to both servers, and one command may reach the old one, and the
next its successor. A script compares the reign, but what was read before cannot be taken back. So, where there are
replicas, each read of a shard is followed by the question for the reign, on the same connection: the one of another server
than the shard was entered on is thrown away. A shard of another flusher, and what belongs to no shard, is read in front of a
WAIT, which is answered in time by nobody but a primary that its replicas follow.

Read without it are clocks, sizes, leases and who else serves: they decide when something is done, and scripts decide whether.

With `redis_replicas` of 0 nothing is asked behind a read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flusher.redis.lease import Foreign, answering, last_of
from flusher.redis.records import Checkpoint
from flusher.redis.replicas import Replicas
from runtime.redis import Pipeline, Redis, doubt
from schemas import erasure
from schemas.erasure import Erasure
from schemas.names import ORIGIN, EntryId
from schemas.redis.keys import ERASURES_KEY, CheckpointField, Keys
from schemas.redis.records import DATA, Edge, Entry
from schemas.redis.scripts import script

CHECKPOINT_IDS = (CheckpointField.STORED, CheckpointField.COUNTED, CheckpointField.SETTLED)
CHECKPOINT_EDGES = (CheckpointField.VERDICT, CheckpointField.DUPLICATE, CheckpointField.ERASED)
# Of one XRANGE. Entries have 60 B to a megabyte, and Redis holds an answer whole: so many that they make a few MB.
READ_ENTRIES_MAX = 1_000
READ_ENTRIES_FIRST = 32
READ_BYTES = 4 << 20
REIGN = script("reign")
Ask = Callable[[Pipeline], object]  # queues commands


class Moved(Exception):
    """Says that the checkpoint is not where this flusher believed it to be: it has to be read again."""


class Reading:
    """Reads streams, checkpoints and erasures. Everything raises lease.Unclear and lease.Foreign, and what is of a shard Moved."""

    def __init__(self, redis: Redis, replicas: Replicas | None = None) -> None:
        self._redis = redis
        self._replicas = replicas or Replicas(redis)
        self._reigns: dict[int, str] = {}  # in which each shard was entered, where there are replicas
        self._read_entries = READ_ENTRIES_FIRST

    async def seen(self, shard: int, ask: Ask) -> list[Any]:
        """Returns the answers to commands about a shard, an error as one of them only where its text is `no such key`.

        Raises Moved where another server answers than the one on which the shard was entered, or under another history.
        """
        reign = self._reigns.get(shard)
        async with answering():
            async with self._redis.pipeline(transaction=False) as pipe:
                ask(pipe)
                if reign is not None:
                    pipe.eval(REIGN, 0)
                said: list[Any] = await pipe.execute(raise_on_error=False)
            for one in said:
                if isinstance(one, Exception) and "no such key" not in str(one):
                    raise one
        if reign is not None and said.pop().decode() != reign:
            await doubt(self._redis)
            raise Moved(f"shard {shard}: another Redis answers than the one on which it was entered")
        return said

    async def checkpoint(self, shard: int) -> Checkpoint:
        """Returns where the shard stands.

        It sends no MULTI, because at maxmemory Redis queues nothing, not even reads. Should a late command of ours run
        between the two commands, `stored` is newer than the edges; the next cut is then refused, and nothing else happens.
        """
        keys = Keys(shard)

        def ask(pipe: Pipeline) -> None:
            pipe.lrange(keys.edges, 0, -1)
            pipe.hgetall(keys.checkpoint)

        edges, fields = await self.seen(shard, ask)
        about: dict[str, dict[str, bytes]] = {}
        for name, value in fields.items():
            kind, _, whose = name.decode().partition(":")
            about.setdefault(kind, {})[whose] = value
        try:
            stored, counted, settled = (
                EntryId.parse(fields[field]) if (field := name.encode()) in fields else ORIGIN
                for name in CHECKPOINT_IDS
            )
            verdicts, duplicates, erased = (
                {EntryId.parse(edge): value for edge, value in about.get(kind, {}).items()} for kind in CHECKPOINT_EDGES
            )
            recorded = tuple(map(Edge.parse, edges))
            compared = int(fields.get(CheckpointField.COMPARED.encode(), 0))
        except ValueError as error:
            raise Foreign(f"{keys.checkpoint} or {keys.edges} hold what is no checkpoint: {error}") from error
        erasures = frozenset(about.get(CheckpointField.ERASURE, ()))
        return Checkpoint(stored, recorded, verdicts, duplicates, counted, erased, erasures, settled, compared)

    async def last(self, shard: int) -> EntryId:
        """Returns the last id that the stream gave, also when its entry is gone; the origin without a stream."""
        [said] = await self.seen(shard, lambda pipe: pipe.xinfo_stream(Keys(shard).log))
        return last_of(said)

    async def read(self, shard: int, after: EntryId, upto: EntryId | None = None) -> list[Entry]:
        """Returns the next entries in (after, upto], at most READ_ENTRIES_MAX, in order; `upto` None: to the end."""
        [records] = await self.seen(shard, lambda pipe: self._asked(pipe, shard, after, upto))
        return self._entries_of(records)

    async def read_of_any(self, shard: int, after: EntryId, upto: EntryId) -> list[Entry]:
        """Returns what `read` does, of a shard that another flusher may serve, so that its reign is not known here.

        All replicas of its server answer, so the server was not succeeded by one of them.
        """
        async with answering():
            [records] = await self._replicas.seen(
                Keys(shard).checkpoint, lambda pipe: self._asked(pipe, shard, after, upto)
            )
        return self._entries_of(records)

    def _asked(self, pipe: Pipeline, shard: int, after: EntryId, upto: EntryId | None) -> None:
        pipe.xrange(Keys(shard).log, f"({after}", "+" if upto is None else str(upto), count=self._read_entries)

    def _entries_of(self, records: list[tuple[bytes, dict[bytes, bytes]]]) -> list[Entry]:
        """Returns entries as Redis tells them, and learns how many of their size are to be read at once."""
        if records:
            size = sum(len(fields.get(DATA, b"")) for _, fields in records) // len(records)
            self._read_entries = min(READ_ENTRIES_MAX, max(READ_ENTRIES_FIRST, READ_BYTES // (size + 1)))
        return [Entry.of(entry_id, fields) for entry_id, fields in records]

    async def erasures(self) -> dict[str, Erasure]:
        """Returns all erasures that stand, by their ids."""
        async with answering():
            [fields] = await self._replicas.seen(ERASURES_KEY, lambda pipe: pipe.hgetall(ERASURES_KEY))
        return {name.decode(): erasure.unpack(value) for name, value in fields.items() if b":" not in name}
