"""Reads the totals that Redis keeps of a shard, for its ledger (docs/delivery.md, rule 12)."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial

from flusher.redis.lease import answering
from flusher.redis.reading import Reading
from runtime.redis import Pipeline
from runtime.work import in_thread
from schemas.aside import Aside
from schemas.entry import Damaged
from schemas.ledger import KEYS_MAX, Erased, Key, field_of, totals_of
from schemas.names import ORIGIN, EntryId
from schemas.redis.keys import LEAVING_FIELD, Keys

LETTERS_MAX = 1_000  # of one XRANGE


class Books(Reading):
    """Reads and forgets totals of all shards. Everything raises lease.Unclear and lease.Foreign, and what reads Moved."""

    async def accepted(self, shard: int) -> tuple[dict[Key, int], EntryId]:
        """Returns what the append script counted, by minute and site, and an entry at or after the last that it counted."""
        keys = Keys(shard)

        def ask(pipe: Pipeline) -> None:
            pipe.hgetall(keys.accepted)
            pipe.xrevrange(keys.log, count=1)

        totals, last = await self.seen(shard, ask)
        return await in_thread(totals_of, totals), EntryId.parse(last[0][0]) if last else ORIGIN

    async def duplicates(self, shard: int) -> dict[Key, int]:
        """Returns how many copies were left out, by minute and site."""
        [counts] = await self.seen(shard, lambda pipe: pipe.hgetall(Keys(shard).duplicate))
        return await in_thread(totals_of, counts)

    async def erased(self, shard: int) -> Erased:
        """Returns how many events were erased, by minute and site."""
        keys = Keys(shard)

        def ask(pipe: Pipeline) -> None:
            pipe.hgetall(keys.leaving)
            pipe.hgetall(keys.erased)

        leaving, counts = await self.seen(shard, ask)
        leaving.pop(LEAVING_FIELD.encode(), None)
        return Erased(await in_thread(totals_of, counts), await in_thread(totals_of, leaving))

    async def forget(self, shard: int, keys: Sequence[Key]) -> None:
        """Drops these totals of accepted events, of copies and of erased events."""
        names = Keys(shard)
        for at in range(0, len(keys), KEYS_MAX):
            fields = [field_of(key) for key in keys[at : at + KEYS_MAX]]
            async with answering():
                for name in (names.accepted, names.duplicate, names.erased):
                    await self._redis.hdel(name, *fields)

    async def dead_rows(self, shard: int) -> list[bytes]:
        """Returns the rows of the dead letters, each as msgpack in row.COLUMNS order."""
        rows: list[bytes] = []
        after = "-"
        while True:
            [records] = await self.seen(shard, partial(_letters, shard, after))
            rows += [fields.get(b"row", b"") for _, fields in records]
            if len(records) < LETTERS_MAX:
                return rows
            after = f"({records[-1][0].decode()}"

    async def set_aside_rows(self, shard: int) -> dict[Key, int]:
        """Counts rows of entries that were set aside, by minute and site, as far as they could be read."""
        [fields] = await self.seen(shard, lambda pipe: pipe.hgetall(Keys(shard).aside))
        counts: dict[Key, int] = {}
        for value in fields.values():
            with contextlib.suppress(Damaged):
                for key, count in totals_of(Aside.decode(value).totals).items():
                    counts[key] = counts.get(key, 0) + count
        return counts


def _letters(shard: int, after: str, pipe: Pipeline) -> None:
    pipe.xrange(Keys(shard).dead, after, "+", count=LETTERS_MAX)
