"""The filter of client ids never misses an id that it was told, is seldom wrong about others, and is bounded."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from flusher.copies import id_filter as module
from flusher.copies.id_filter import BYTES_PER_ID, ROOM_FIRST, IdFilter

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
NOW = 1_796_083_200_000


def ids(name: str, count: int) -> list[str]:
    return [f"{name}-{number}" for number in range(count)]


def made(bytes_max: int = 256 << 20) -> IdFilter:
    return IdFilter(window_ms=DAY_MS, bytes_max=bytes_max)


@given(st.lists(st.lists(st.text(), max_size=50), max_size=20))
def test_what_was_added_is_known(batches: Sequence[list[str]]) -> None:
    """Every id that was added is known."""
    known = made()
    for batch in batches:
        known.add(batch, NOW)
    assert all(known.among(batch) == set(batch) for batch in batches)


def test_what_was_not_added_is_mostly_not_known() -> None:
    """The fullest filter takes 5e-6 of new ids for known; with the smaller filters behind it, still less than 1e-4."""
    known = made()
    for number in range(12):
        known.add(ids(f"seen{number}", 100_000), NOW)
    assert len(known.among(ids("other", 200_000))) <= 20


def test_an_id_is_known_for_a_window() -> None:
    """An id is known for a window, however many come meanwhile, and for no longer than two."""
    for hours in (0, 6, 12, 18, 23):
        known = made()
        known.add(["early"], NOW)
        for hour in range(hours + 1):
            known.add([f"hour-{hour}"], NOW + hour * HOUR_MS)
        assert known.among(["early"]) == {"early"}
    known = made()
    known.add(["early"], NOW)
    for hour in range(49):
        known.add([f"hour-{hour}"], NOW + hour * HOUR_MS)
    assert known.among(["early"]) == set()
    assert known.reach_ms(NOW + 49 * HOUR_MS) == DAY_MS


def test_memory_is_bounded_and_what_it_cost_is_said() -> None:
    """Beyond the bound the oldest ids go early, and the reach says since when all ids are known."""
    most = 8 * ROOM_FIRST * BYTES_PER_ID
    known = made(most)
    for minute in range(40):
        known.add(ids(f"minute{minute}", 100_000), NOW + minute * 60_000)
        assert known.bytes <= most
    end = NOW + 39 * 60_000
    assert known.among(["minute0-1"]) == set()
    assert 0 < known.reach_ms(end) < 39 * 60_000
    first_known = (end - known.reach_ms(end) - NOW) // 60_000 + 1
    for minute in range(first_known, 40):
        assert known.among([f"minute{minute}-7"])


def test_a_quiet_installation_takes_little() -> None:
    """A quiet installation takes one small filter for each half window."""
    known = made()
    for hour in range(72):
        known.add(ids(f"hour{hour}", 10), NOW + hour * HOUR_MS)
    assert known.bytes <= 4 * module.ROOM_FIRST * BYTES_PER_ID


def test_cleared_it_knows_nothing() -> None:
    """A cleared filter knows no id, and can be filled again."""
    known = made()
    known.add(["one"], NOW)
    known.clear()
    assert (known.among(["one"]), known.bytes) == (set(), 0)
