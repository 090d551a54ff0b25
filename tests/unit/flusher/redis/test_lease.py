"""flusher/redis/lease.py without a Redis: deadlines, and the share of each flusher."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flusher.redis.lease import Lease, LeaseLost, fair_share
from tests.simulation.loop import Loop, run

NOW = 1_790_000_000.75  # seconds of ClickHouse's clock


def deadline(left: float) -> int:
    """The deadline that a lease gives to an INSERT while `left` seconds remain; virtual time stands still meanwhile."""

    async def asked(loop: Loop) -> int:
        return Lease(3, 1, "a", "abcd0123", loop.time() + left).deadline(NOW)

    loop = Loop()
    try:
        found: int = run(loop, asked(loop))
    finally:
        loop.finish()
    return found


@pytest.mark.parametrize("left", [1.0, 1.25, 1.5, 9.99, 60.0])
def test_an_insert_must_end_before_its_lease(left: float) -> None:
    """The deadline is the last whole second that ends within the lease, and not yet past."""
    assert math.floor(NOW) <= deadline(left)
    assert NOW + left - 1 < deadline(left) + 1 <= NOW + left


@pytest.mark.parametrize("left", [0.99, 0.0, -5.0])
def test_with_less_than_a_second_left_nothing_is_inserted(left: float) -> None:
    """ClickHouse's clock for it has whole seconds: there is no deadline that would be safe."""
    with pytest.raises(LeaseLost):
        deadline(left)


@given(st.integers(0, 300), st.sets(st.text(max_size=4), min_size=1, max_size=12))
def test_fair_shares_add_up_to_all_shards(shards: int, flushers: set[str]) -> None:
    """Whoever is alive, every shard has its place and nobody holds two more than another."""
    alive = sorted(flushers)
    shares = [fair_share(shards, alive, owner) for owner in alive]
    assert sum(shares) == shards
    assert max(shares) - min(shares) <= 1
