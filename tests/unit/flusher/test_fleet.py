"""A fleet takes its share, hands over what is too much, and survives what its shards and Redis do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from flusher.fleet import STOPPED_SECONDS, Fleet
from flusher.metrics import Metrics
from flusher.redis.lease import Foreign, LayoutChanged, Lease, LeaseLost, Unclear
from flusher.shards.shard import ShardStopped
from schemas.names import EntryId
from tests.support.waiting import SECONDS, until

SHARDS = 4


class ScriptedGrants:
    """Gives, keeps and loses leases as the test says. What was asked is in `said`."""

    def __init__(self, share: int = SHARDS) -> None:
        self.ttl_ms = 30  # renewed every 10 ms, balanced every 6
        self.share = share
        self.foreign: set[int] = set()  # held by others
        self.mistyped: set[int] = set()  # whose keys are not ours
        self.held: dict[int, Lease] = {}
        self.generations = dict.fromkeys(range(SHARDS), 0)
        self.is_silent = False
        self.is_changed = False
        self.renewals: dict[int, int] = {}
        self.losing: set[int] = set()
        self.waiting: set[int] = set()  # shards with entries that nobody stored
        self.said: list[str] = []

    def _answer(self) -> None:
        if self.is_silent:
            raise Unclear("Redis is silent")

    async def enrol(self, shards: int) -> int:
        self._answer()
        assert shards == SHARDS
        if self.is_changed:
            raise LayoutChanged("Redis says 5 shards")
        return self.share

    async def take(self, shard: int) -> Lease | None:
        self._answer()
        if shard in self.mistyped:
            raise Foreign(f"shard {shard}: WRONGTYPE")
        if shard in self.foreign or shard in self.held:
            return None
        self.generations[shard] += 1
        lease = Lease(shard, self.generations[shard], "a", "abcd0123", asyncio.get_running_loop().time() + 60)
        self.held[shard] = lease
        self.said.append(f"take {shard}")
        return lease

    async def renew(self, lease: Lease) -> None:
        self.renewals[lease.shard] = self.renewals.get(lease.shard, 0) + 1
        if lease.shard in self.losing:
            self.losing.discard(lease.shard)
            raise LeaseLost(f"shard {lease.shard}")

    async def release(self, lease: Lease) -> None:
        self.held.pop(lease.shard, None)
        self.said.append(f"release {lease.shard}")
        self._answer()

    async def ends(self, shards: int) -> dict[int, EntryId]:
        self._answer()
        return dict.fromkeys(range(shards), EntryId(5, 1))

    async def unserved(self, upto: Mapping[int, EntryId]) -> list[int]:
        self._answer()
        assert upto == dict.fromkeys(range(SHARDS), EntryId(5, 1))
        return sorted(self.waiting)

    async def leave(self) -> None:
        self.said.append("leave")
        self._answer()


class ScriptedShard:
    """Works until it is told to hand over, then drains until it may end; or fails as the test says."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.is_draining = False
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.failing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: str | None = None

    async def serve(self, handing_over: asyncio.Event) -> None:
        told: asyncio.Future[Any] = asyncio.ensure_future(handing_over.wait())
        either: list[asyncio.Future[Any]] = [told, self.failing]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if self.failing.done():
                self.failing.result()
            self.is_draining = True
            await self.may_end.wait()
        except BaseException as error:  # a witness: says how it was ended, and lets it pass
            self.ended = type(error).__name__
            raise
        else:
            self.ended = "drained"
        finally:
            told.cancel()
            self.failing.cancel()


class Scene:
    """Holds a fleet at work, and the parts that it talks to."""

    def __init__(self, grants: ScriptedGrants, stopped_seconds: float = STOPPED_SECONDS) -> None:
        self.grants = grants
        self.metrics = Metrics(CollectorRegistry())
        self.stopping = asyncio.Event()
        self.served: list[ScriptedShard] = []
        self.on_serve: Callable[[ScriptedShard], None] = lambda _: None
        self.fleet = Fleet(
            leases=grants, shards=SHARDS, serve=self._serve, metrics=self.metrics, stopped_seconds=stopped_seconds
        )

    def _serve(self, lease: Lease) -> ScriptedShard:
        shard = ScriptedShard(lease)
        self.on_serve(shard)
        self.served.append(shard)
        return shard

    @property
    def working(self) -> list[int]:
        """Returns the shards that are served and not yet told to stop."""
        return sorted(one.lease.shard for one in self.served if one.ended is None and not one.is_draining)

    def shard(self, number: int) -> ScriptedShard:
        """Returns the latest one to serve this shard."""
        return next(one for one in reversed(self.served) if one.lease.shard == number)

    def stopped(self, shard: int) -> float | None:
        return self.metrics.registry.get_sample_value("forebay_shard_stopped", {"shard": str(shard)})


@asynccontextmanager
async def at_work(
    grants: ScriptedGrants,
    on_serve: Callable[[ScriptedShard], None] = lambda _: None,
    stopped_seconds: float = STOPPED_SECONDS,
) -> AsyncIterator[Scene]:
    """Runs a fleet inside the block. It is stopped in the end and must end well."""
    scene = Scene(grants, stopped_seconds)
    scene.on_serve = on_serve
    running = asyncio.ensure_future(scene.fleet.run(scene.stopping))
    try:
        yield scene
    finally:
        scene.stopping.set()
        for one in scene.served:
            one.may_end.set()
        async with asyncio.timeout(SECONDS):
            await running


@pytest.mark.parametrize("share", [0, 1, 3, SHARDS])
async def test_it_serves_its_share_and_no_more(share: int) -> None:
    """Each shard is served under its own lease, and shards beyond the share are left to others."""
    async with at_work(ScriptedGrants(share)) as scene:
        await until(lambda: len(scene.working) == share and scene.fleet.is_connected)
        await until(lambda: all(scene.grants.renewals.get(shard, 0) > 2 for shard in range(share)))
        assert scene.working == sorted(scene.grants.held) == list(range(share))


async def test_a_share_that_grows_is_taken_up() -> None:
    """When another flusher has left, its shards are served at the next look."""
    async with at_work(ScriptedGrants(1)) as scene:
        await until(lambda: scene.working == [0])
        scene.grants.share = 3
        await until(lambda: scene.working == [0, 1, 2])


async def test_a_shard_of_another_is_taken_when_it_is_free() -> None:
    """A shard that another flusher holds is asked for at every look, and the free ones are served meanwhile."""
    grants = ScriptedGrants(2)
    grants.foreign = {0, 1, 3}
    async with at_work(grants) as scene:
        await until(lambda: scene.working == [2])
        grants.foreign = {0, 3}
        await until(lambda: scene.working == [1, 2])


async def test_too_much_is_handed_over_after_it_is_drained() -> None:
    """When the share shrinks, a surplus shard drains under its lease before it is given back, and the rest go on."""
    async with at_work(ScriptedGrants(), lambda shard: shard.may_end.clear()) as scene:
        await until(lambda: len(scene.working) == SHARDS)
        scene.grants.share = 2
        await until(lambda: scene.shard(2).is_draining and scene.shard(3).is_draining)
        renewed = scene.grants.renewals[3]
        await until(lambda: scene.grants.renewals[3] > renewed + 2)
        assert sorted(scene.grants.held) == [0, 1, 2, 3]
        scene.grants.foreign = {2, 3}
        scene.shard(2).may_end.set()
        scene.shard(3).may_end.set()
        await until(lambda: sorted(scene.grants.held) == [0, 1])
        assert scene.working == [0, 1]


async def test_a_shard_that_still_drains_is_not_taken_twice() -> None:
    """A shard that is wanted again while it is handed over is taken anew only after it was given back."""
    async with at_work(ScriptedGrants(1), lambda shard: shard.may_end.clear()) as scene:
        await until(lambda: scene.working == [0])
        scene.grants.share = 0
        await until(lambda: scene.shard(0).is_draining)
        scene.grants.foreign = {1, 2, 3}
        scene.grants.share = 1
        renewed = scene.grants.renewals[0]
        await until(lambda: scene.grants.renewals[0] > renewed + 2)
        assert len(scene.served) == 1
        scene.shard(0).may_end.set()
        await until(lambda: scene.working == [0])
        assert [one.lease.generation for one in scene.served] == [1, 2]


async def test_stopping_drains_everything_and_leaves_last() -> None:
    """A fleet that is stopped drains and gives back every shard, and only then says that it is gone."""
    async with at_work(ScriptedGrants(), lambda shard: shard.may_end.clear()) as scene:
        await until(lambda: len(scene.working) == SHARDS)
        scene.stopping.set()
        await until(lambda: all(one.is_draining for one in scene.served))
        assert len(scene.grants.held) == SHARDS
        assert "leave" not in scene.grants.said
    assert [one.ended for one in scene.served] == ["drained"] * SHARDS
    assert sorted(scene.grants.said[-SHARDS - 1 : -1]) == [f"release {shard}" for shard in range(SHARDS)]
    assert scene.grants.said[-1] == "leave"


async def test_stopping_before_anything_was_taken_is_quiet() -> None:
    """A flusher without shards ends at once."""
    async with at_work(ScriptedGrants(0)) as scene:
        await until(lambda: scene.fleet.is_connected)
    assert scene.grants.said == ["leave"]


async def test_stopping_before_its_first_lease_drains_what_waits() -> None:
    """The last flusher drains two shards that nobody serves before it leaves, also one whose dead holder still has a
    lease.
    """
    scene = Scene(ScriptedGrants())
    scene.grants.waiting = {1, 2}
    scene.grants.foreign = {2}
    scene.on_serve = lambda shard: scene.grants.waiting.discard(shard.lease.shard)
    scene.stopping.set()
    running = asyncio.ensure_future(scene.fleet.run(scene.stopping))
    await until(lambda: [one.ended for one in scene.served] == ["drained"])
    assert not running.done()
    scene.grants.foreign.clear()
    async with asyncio.timeout(SECONDS):
        await running
    assert [(one.lease.shard, one.ended) for one in scene.served] == [(1, "drained"), (2, "drained")]
    assert scene.grants.held == {}
    assert scene.grants.said[-1] == "leave"


async def test_a_shard_whose_lease_is_lost_while_it_drains_is_drained_again() -> None:
    """A shard whose lease a replay takes away while it drains is taken again and drained."""
    async with at_work(ScriptedGrants(), lambda shard: shard.may_end.clear()) as scene:
        await until(lambda: len(scene.working) == SHARDS)
        scene.stopping.set()
        await until(lambda: all(one.is_draining for one in scene.served))
        scene.grants.waiting = {1}
        scene.grants.losing.add(1)
        await until(lambda: len(scene.served) == SHARDS + 1)
        assert (scene.served[-1].lease.shard, scene.served[-1].lease.generation) == (1, 2)
        scene.grants.waiting.clear()
    assert [one.ended for one in scene.served] == ["drained", "CancelledError", "drained", "drained", "drained"]


async def test_stopping_does_not_try_a_stopped_shard_again() -> None:
    """A stopped shard waits for a person, and does not keep the flusher from ending."""
    async with at_work(ScriptedGrants()) as scene:
        await until(lambda: len(scene.working) == SHARDS)
        scene.grants.waiting = {1}
        scene.shard(1).failing.set_exception(ShardStopped("unknown version"))
        await until(lambda: scene.stopped(1) == 1)
    assert len(scene.served) == SHARDS


async def test_a_shard_that_lost_its_lease_is_taken_again() -> None:
    """When a shard's script finds its lease lost, its task ends, the others go on, and it is taken under a new
    generation.
    """
    async with at_work(ScriptedGrants()) as scene:
        await until(lambda: len(scene.working) == SHARDS)
        scene.shard(1).failing.set_exception(LeaseLost("shard 1"))
        await until(lambda: len(scene.served) == SHARDS + 1 and len(scene.working) == SHARDS)
        assert scene.shard(1).lease.generation == 2
        assert [one.ended for one in scene.served] == [None, "LeaseLost", None, None, None]


async def test_a_lease_that_cannot_be_renewed_ends_its_shard_at_once() -> None:
    """A shard whose lease is lost is cancelled at once, because from now on another flusher may own it."""
    async with at_work(ScriptedGrants()) as scene:
        await until(lambda: len(scene.working) == SHARDS)
        scene.grants.losing.add(2)
        await until(lambda: len(scene.served) == SHARDS + 1 and len(scene.working) == SHARDS)
        assert scene.shard(2).lease.generation == 2
        assert [one.ended for one in scene.served] == [None, None, "CancelledError", None, None]


async def test_a_stopped_shard_alarms_and_is_tried_again_later() -> None:
    """A stopped shard gives its lease back and is left alone for a while; the alarm ends once it serves well."""
    async with at_work(ScriptedGrants(), stopped_seconds=0.3) as scene:
        await until(lambda: len(scene.working) == SHARDS)
        scene.shard(1).failing.set_exception(ShardStopped("unknown version"))
        await until(lambda: scene.stopped(1) == 1)
        stopped_at = asyncio.get_running_loop().time()
        assert 1 not in scene.grants.held
        assert scene.working == [0, 2, 3]
        await until(lambda: len(scene.working) == SHARDS)
        assert asyncio.get_running_loop().time() - stopped_at > 0.2
    assert scene.stopped(1) == 0


async def test_a_stopped_shard_is_named_until_it_serves_well() -> None:
    """A stopped shard is named also while it is tried again, until it has served well for a while."""
    async with at_work(ScriptedGrants(), stopped_seconds=0.3) as scene:
        await until(lambda: len(scene.working) == SHARDS)
        assert scene.fleet.stopped == []
        for _ in range(2):
            scene.shard(1).failing.set_exception(ShardStopped("unknown version"))
            await until(lambda: scene.working == [0, 2, 3])
            await until(lambda: len(scene.working) == SHARDS)
            assert scene.fleet.stopped == [1]
        await until(lambda: not scene.fleet.stopped)
        assert scene.working == [0, 1, 2, 3]
        assert scene.stopped(1) == 0


async def test_a_stopped_shard_that_another_serves_is_not_named() -> None:
    """A stopped shard is not named any more once another flusher, which can read it, serves it."""
    grants = ScriptedGrants()
    async with at_work(grants) as scene:
        await until(lambda: len(scene.working) == SHARDS)
        scene.fleet._stopped_until[1] = 0  # it was, long ago
        grants.foreign = {1}
        scene.shard(1).failing.set_exception(LeaseLost("shard 1"))
        await until(lambda: not scene.fleet.stopped)


async def test_while_redis_is_silent_shards_go_on_and_readiness_says_so() -> None:
    """While Redis is silent no shard is taken and the held ones are served; the fleet is ready again when Redis
    answers.
    """
    async with at_work(ScriptedGrants(2)) as scene:
        await until(lambda: scene.working == [0, 1])
        scene.grants.is_silent = True
        await until(lambda: not scene.fleet.is_connected)
        scene.grants.share = 3
        assert scene.working == [0, 1]
        scene.grants.is_silent = False
        await until(lambda: scene.working == [0, 1, 2])
        assert scene.fleet.is_connected


async def test_another_number_of_shards_ends_it_drained() -> None:
    """When Redis has another number of shards, the fleet drains and leaves, and says that it had a reason."""
    async with at_work(ScriptedGrants()) as scene:
        await until(lambda: len(scene.working) == SHARDS)
        scene.grants.is_changed = True
        await until(scene.stopping.is_set)
        assert scene.fleet.is_misplaced
        assert not scene.fleet.is_connected
    assert [one.ended for one in scene.served] == ["drained"] * SHARDS
    assert scene.grants.held == {}


async def test_a_redis_that_is_gone_does_not_keep_it_from_ending() -> None:
    """Without Redis a fleet ends all the same, and its leases run out."""
    async with at_work(ScriptedGrants()) as scene:
        await until(lambda: len(scene.working) == SHARDS)
        scene.grants.is_silent = True
    assert [one.ended for one in scene.served] == ["drained"] * SHARDS


async def test_a_bug_in_one_shard_ends_the_fleet_and_gives_all_leases_back() -> None:
    """A bug in one shard ends the fleet and gives all leases back, so that a successor takes over."""
    scene = Scene(ScriptedGrants())
    running = asyncio.ensure_future(scene.fleet.run(scene.stopping))
    await until(lambda: len(scene.working) == SHARDS)
    scene.shard(3).failing.set_exception(ZeroDivisionError())
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(SECONDS):
            await running
    assert caught.group_contains(ZeroDivisionError)
    assert scene.grants.held == {}
    assert [one.ended for one in scene.served] == ["CancelledError"] * 3 + ["ZeroDivisionError"]


async def test_a_drain_that_took_too_long_is_cancelled_and_gives_all_leases_back() -> None:
    """A drain that took too long is cancelled, all leases are given back, and the rest stays in Redis."""
    scene = Scene(ScriptedGrants())
    scene.on_serve = lambda shard: shard.may_end.clear()
    running = asyncio.ensure_future(scene.fleet.run(scene.stopping))
    await until(lambda: len(scene.working) == SHARDS)
    scene.stopping.set()
    await until(lambda: all(one.is_draining for one in scene.served))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert scene.grants.held == {}
    assert [one.ended for one in scene.served] == ["CancelledError"] * SHARDS
