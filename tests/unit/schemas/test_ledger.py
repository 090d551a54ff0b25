"""schemas/ledger.py: what balances, what does not, and minutes that are compared as a whole."""

from __future__ import annotations

import pytest

from schemas.ledger import KEYS_MAX, OTHER, Erased, Gap, Key, bounded, field_of, gaps, key_of, unsure

A, B, OTHERS = (5, "a"), (5, "b"), (5, OTHER)


@pytest.mark.parametrize("key", [A, OTHERS, (0, ""), (29_833_333, "münchen.example with spaces")])
def test_a_key_is_its_field(key: Key) -> None:
    """A site may hold whatever a registered name holds."""
    assert key_of(field_of(key)) == key


@pytest.mark.parametrize(
    ("accepted", "stored", "dead", "found"),
    [
        ({A: 3}, {A: 3}, {}, []),
        ({A: 3}, {A: 2}, {A: 1}, []),
        ({A: 3}, {A: 2}, {}, [Gap(5, "a", 3, 2)]),
        ({A: 3}, {A: 3, B: 1}, {}, [Gap(5, "b", 0, 1)]),
        ({A: 3, B: 1}, {A: 1, B: 3}, {}, [Gap(5, "a", 3, 1), Gap(5, "b", 1, 3)]),
    ],
)
def test_sites_are_compared_by_minute(
    accepted: dict[Key, int], stored: dict[Key, int], dead: dict[Key, int], found: list[Gap]
) -> None:
    """What nobody accepted is as wrong as what vanished."""
    assert gaps(accepted, accepted, stored, dead) == found


@pytest.mark.parametrize(
    ("accepted", "stored", "found"),
    [
        ({A: 3, OTHERS: 2}, {A: 3, B: 1, (5, "c"): 1}, []),
        ({A: 3, OTHERS: 2}, {OTHERS: 5}, []),
        ({A: 1, OTHERS: 4}, {A: 3, B: 2}, []),  # a was folded for a while
        ({A: 3, OTHERS: 2}, {A: 3, B: 1}, [Gap(5, OTHER, 5, 4)]),
        ({A: 3, OTHERS: 2, (6, "a"): 1}, {A: 5}, [Gap(6, "a", 1, 0)]),
    ],
)
def test_a_minute_of_too_many_sites_is_compared_as_a_whole(
    accepted: dict[Key, int], stored: dict[Key, int], found: list[Gap]
) -> None:
    """Its books balance or not, without saying whose; other minutes are as ever."""
    assert gaps(accepted, accepted, stored) == found


def test_what_is_leaving_may_be_there_or_gone() -> None:
    """Counted as erased from before it goes: neither too few nor too many are forgiven."""
    for stored in (3, 2, 1):
        assert gaps({A: 3}, {A: 3}, {A: stored}, {A: 2}, leaving={A: 2}) == []
    assert gaps({A: 3}, {A: 3}, {}, {A: 2}, leaving={A: 2}) == [Gap(5, "a", 3, 2)]
    assert gaps({A: 3}, {A: 3}, {A: 4}, {A: 2}, leaving={A: 2}) == [Gap(5, "a", 3, 6)]
    assert gaps({A: 3, OTHERS: 1}, {A: 3, OTHERS: 1}, {A: 3, B: 1}, {A: 2}, leaving={A: 2}) == []


def test_what_was_erased_between_two_looks_may_be_counted_twice() -> None:
    """Rows asked for before it were there, and those asked for after it are not."""
    assert unsure(Erased({A: 1}, {B: 3}), Erased({A: 4}, {B: 1})) == {A: 3, B: 3}


def test_what_moved_meanwhile_is_left_for_the_next_look() -> None:
    """Also where it moved under another name."""
    assert gaps({A: 3}, {A: 4}, {A: 1}) == []
    assert gaps({A: 3}, {A: 3, OTHERS: 1}, {A: 1}) == []
    assert gaps({A: 3, B: 1}, {A: 3, B: 1, OTHERS: 1}, {A: 3, B: 1}) == []


def test_more_totals_than_one_script_counts_are_counted_by_minute() -> None:
    """None is lost: what is beyond is its minute's as a whole, and the books balance as they would."""
    totals = {(minute, f"s{number}"): number for number in range(1_500) for minute in (1, 2, 3)}
    kept = bounded(totals)
    assert len(kept) <= KEYS_MAX + 3
    for minute in (1, 2, 3):
        assert sum(count for key, count in kept.items() if key[0] == minute) == sum(range(1_500))
    assert gaps(totals, totals, kept) == []
    few = dict(list(totals.items())[:KEYS_MAX])
    assert bounded(few) == few
