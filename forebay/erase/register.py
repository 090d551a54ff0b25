"""Keeps the erasures in Redis: recorded once, acknowledged by shards, counted once, and done.

Every step is one script or one field that is written once. So a command that was killed is begun again, and two that
run at once do each other's work.

    ID            the erasure as JSON
    ID:plan       the name of the chosen plan
    ID:settled    its rows are gone
    ID:done       all of it is done
    :planning     the erasure whose rows are being deleted: one at a time, or a row could be counted twice
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from forebay.erase.replicated import Replicated
from forebay.stream import Letter
from runtime import redis
from schemas.erasure import STANDS_SECONDS, Erasure, pack, unpack
from schemas.ledger import KEPT_MINUTES, Key, field_of
from schemas.names import EntryId
from schemas.redis.keys import ERASURES_KEY, CheckpointField, ErasuresField, Keys
from schemas.redis.scripts import script
from schemas.row import INDEX, MINUTE_MS

RECORD = script("record_erasure")
CHOOSE = script("choose_plan")
SETTLE = script("settle_erasure")
COUNT = script("count_erased")
LEFT = script("erased_rows_left")
ERASE_LETTER = script("erase_letter")
ACCEPT = script("accept_missing")
FORGIVE = script("forgive")


class Busy(Exception):
    """Reports that rows of another erasure are being deleted, and have to be gone first. Its text is that erasure's id."""


class Register:
    """Reads and moves the erasures of one installation, with the client that also reads its streams. Every method raises redis.RedisError.

    What is recorded, and what is done next because of it, all replicas have (rule 17): before rows are deleted, and before
    something is called done. Otherwise a failover would take back an acknowledgement, and rows that are gone would be
    delivered again.
    """

    def __init__(self, client: redis.BlockingRedis) -> None:
        self._redis = client
        self._replicated = Replicated(client)

    def assuring(self, shard: int | None = None) -> AbstractContextManager[None]:
        """Raises TooFew at its end unless all replicas have what was read and written inside, of a shard or of the erasures."""
        return self._replicated.assuring(ERASURES_KEY if shard is None else Keys(shard).checkpoint)

    def now_ms(self) -> int:
        """Returns the time of Redis's clock, in unix ms."""
        said: Any = redis.blocking_server_of(self._redis, ERASURES_KEY).time()
        return int(said[0]) * 1000 + int(said[1]) // 1000

    def record(self, erasure: Erasure) -> None:
        """Records an erasure, which stands from now until STANDS_SECONDS after it is done, and forgets older ones."""
        fields: Any = self._redis.hgetall(ERASURES_KEY)
        over_ms = self.now_ms() - STANDS_SECONDS * 1000
        done = ErasuresField.DONE.of("").encode()
        over = [
            name.removesuffix(done) for name, value in fields.items() if name.endswith(done) and int(value) < over_ms
        ]
        gone = [name for one in over for name in fields if name == one or name.startswith(one + b":")]
        for one in over:
            for shard in erasure.ends:
                kinds = (CheckpointField.ERASURE, CheckpointField.ERASURE_COUNTED)
                self._redis.hdel(Keys(shard).checkpoint, *(kind.of(one.decode()) for kind in kinds))
        self._replicated.run(
            RECORD, [ERASURES_KEY], erasure.id, pack(erasure).decode(), *(name.decode() for name in gone)
        )

    def unfinished(self) -> list[Erasure]:
        """Returns the erasures that are not done: first the one whose rows are being deleted, then the others by age."""
        fields: Any = self._redis.hgetall(ERASURES_KEY)
        standing = [unpack(value) for name, value in fields.items() if b":" not in name]
        planning = fields.get(ErasuresField.PLANNING.encode(), b"").decode()
        waiting = [one for one in standing if ErasuresField.DONE.of(one.id).encode() not in fields]
        return sorted(waiting, key=lambda one: (one.id != planning, one.at_ms, one.id))

    def acknowledged(self, shard: int, erasure: str) -> EntryId | None:
        """Returns the edge up to which the shard's blocks are older than the erasure, or None: not acknowledged yet."""
        key, field = Keys(shard).checkpoint, CheckpointField.ERASURE.of(erasure)
        if not self._redis.hexists(key, field):
            return None
        with self.assuring(shard):
            said: Any = self._redis.hget(key, field)
        return EntryId.parse(said) if said is not None else None

    def plan(self, erasure: str) -> str | None:
        """Returns the name of the chosen plan, or None if none was chosen yet."""
        with self.assuring():
            said: Any = self._redis.hget(ERASURES_KEY, ErasuresField.PLAN.of(erasure))
        return said.decode() if said is not None else None

    def choose(self, erasure: str, plan: str) -> str:
        """Chooses a plan, unless another was chosen before, and returns the chosen one. Raises Busy."""
        chosen, planning = self._replicated.run(CHOOSE, [ERASURES_KEY], erasure, plan)
        if not chosen:
            raise Busy(planning.decode())
        return str(chosen.decode())

    def count(self, shard: int, erasure: str, counts: Mapping[Key, int]) -> None:
        """Counts planned rows as erased and as leaving, once.

        Rows of minutes that the ledger has forgotten are left out.
        """
        since = self._since()
        words = [str(word) for key, rows in counts.items() if key[0] >= since for word in (field_of(key), rows)]
        keys = Keys(shard)
        self._replicated.run(COUNT, [keys.checkpoint, keys.erased, keys.leaving], erasure, *words)

    def gone(self, shard: int, erasure: str) -> None:
        """Ends the counting of the erasure's rows as leaving, because they have left."""
        self._replicated.run(LEFT, [Keys(shard).leaving], erasure)

    def settle(self, erasure: str) -> None:
        """Records that the erasure's rows are gone, so that another's may be deleted."""
        self._replicated.run(SETTLE, [ERASURES_KEY], erasure, self.now_ms())

    def is_settled(self, erasure: str) -> bool:
        """Tells whether the erasure's rows are gone."""
        with self.assuring():
            return bool(self._redis.hexists(ERASURES_KEY, ErasuresField.SETTLED.of(erasure)))

    def drop(self, letter: Letter) -> bool:
        """Erases a dead letter and counts it. Returns False if somebody else took it meanwhile.

        It does not wait: `assuring`, around as many as there are, does.
        """
        keys = Keys(letter.shard)
        assert letter.row is not None
        key = letter.row[INDEX["received_at"]] // MINUTE_MS, letter.row[INDEX["site"]]
        name = field_of(key) if key[0] >= self._since() else ""
        return bool(self._redis.eval(ERASE_LETTER, 2, keys.dead, keys.erased, str(letter.id), name))

    def _since(self) -> int:
        """Returns the first minute that the ledger remembers. The total of an older one would never be removed."""
        return self.now_ms() // MINUTE_MS - KEPT_MINUTES

    def done(self, erasure: str) -> None:
        """Records that the erasure is done. It stands on, for events that come late out of a spool."""
        with self.assuring():
            self._redis.hsetnx(ERASURES_KEY, ErasuresField.DONE.of(erasure), str(self.now_ms()))

    def accept(self, shard: int, name: str, counts: Mapping[Key, int]) -> bool:
        """Records missing rows of a shard as erased, once, and lets the replay tail go.

        Returns False while a replay runs.
        """
        words = [str(word) for key, rows in counts.items() for word in (field_of(key), rows)]
        keys = Keys(shard)
        said: Any = self._replicated.run(ACCEPT, [keys.checkpoint, keys.erased, keys.edges, keys.log], name, *words)
        return bool(said == b"ok")

    def forgive(self, shard: int, name: str, counts: Mapping[Key, int]) -> None:
        """Records rows of a shard that nobody accepted as accepted, once."""
        words = [str(word) for key, rows in counts.items() for word in (field_of(key), rows)]
        keys = Keys(shard)
        self._replicated.run(FORGIVE, [keys.checkpoint, keys.accepted], name, *words)

    def rewrite(self, seconds: float) -> bool:
        """Has Redis write its append-only file anew; returns whether it was written within so many seconds.

        Of several servers all do, replicas too, because what has to go may have been on any of them. One that keeps no
        such file has nothing to do.
        """
        deadline = time.monotonic() + seconds
        waiting = list(redis.blocking_servers(self._redis, with_replicas=True).values())
        begun: set[int] = set()
        while waiting and time.monotonic() < deadline:
            for at, one in reversed([*enumerate(waiting)]):
                state: Any = one.info("persistence")
                is_busy = state["aof_rewrite_in_progress"] or state.get("aof_rewrite_scheduled", 0)
                if not state["aof_enabled"]:
                    del waiting[at]
                elif not is_busy and id(one) in begun:
                    if state["aof_last_bgrewrite_status"] != "ok":
                        return False
                    del waiting[at]
                elif not is_busy:
                    one.bgrewriteaof()
                    begun.add(id(one))
            if waiting:
                time.sleep(0.1)
        return not waiting


def fresh() -> str:
    """Returns a new name for an erasure or a plan."""
    return secrets.token_hex(8)
