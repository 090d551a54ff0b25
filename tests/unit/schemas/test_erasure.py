"""schemas/erasure.py: which rows an erasure means, and which of them were accepted before it."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.erasure import Erasure, digest, pack, unpack
from schemas.names import EntryId
from tests.support.rows import columns_of, plain

SALT = "5a17"
ROWS: tuple[dict[str, Any], ...] = (
    {"user_id": "ann", "visitor_id": 7, "ts": 100, "received_at": 100},
    {"user_id": "ann", "visitor_id": 8, "ts": 200, "received_at": 200, "site": "b"},
    {"user_id": "bob", "visitor_id": 7, "ts": 300, "received_at": 300},
    {"user_id": "", "visitor_id": 9, "visitor_before": 7, "ts": 300, "received_at": 300},
    {
        "user_id": "eve",
        "visitor_id": 5,
        "ts": 300,
        "received_at": 300,
        "site": "c",
        "name": "alias",
        "props": {"previous_id": "ann"},
    },
    {
        "user_id": "eve",
        "visitor_id": 5,
        "ts": 300,
        "received_at": 300,
        "site": "c",
        "name": "signup",
        "props": {"previous_id": "ann"},
    },
)
COLUMNS_OF_ROWS = columns_of([plain(**({"site": "a"} | row)) for row in ROWS])


def erasure(**selectors: Any) -> Erasure:
    return Erasure(id=SALT, at_ms=200, ends={0: "5-1"}, **selectors)


@pytest.mark.parametrize(
    ("selectors", "meant"),
    [
        ({"site": "a"}, [0, 2, 3]),
        ({"user": digest(SALT, "ann")}, [0, 1, 4]),
        ({"user": digest(SALT, "eve")}, [4, 5]),
        ({"user": digest(SALT, "")}, []),
        ({"user": digest("other", "ann")}, []),
        ({"visitor": digest(SALT, "7")}, [0, 2, 3]),
        ({"before_ms": 200}, [0]),
        ({"site": "b", "user": digest(SALT, "ann")}, [1]),
        ({"site": "b", "user": digest(SALT, "bob")}, []),
        ({"user": digest(SALT, "ann"), "before_ms": 200}, [0]),
    ],
)
def test_selectors_are_combined_by_and(selectors: dict[str, Any], meant: list[int]) -> None:
    """A visitor is known by the name of the day before too, a user by an alias; nobody is meant by an empty one."""
    assert erasure(**selectors).places(COLUMNS_OF_ROWS) == meant


@pytest.mark.parametrize(
    ("shard", "entry", "meant"),
    [(0, EntryId(5, 1), [0, 2, 3]), (0, EntryId(5, 2), [0]), (0, EntryId(4, 9), [0, 2, 3]), (1, EntryId(4, 9), [0])],
)
def test_what_came_later_stays(shard: int, entry: EntryId, meant: list[int]) -> None:
    """Entries up to a shard's last one of that moment, whatever a clock says; of others what was received until then."""
    assert erasure(site="a").accepted(COLUMNS_OF_ROWS, shard, entry) == meant


def test_it_is_kept_as_it_is() -> None:
    """What is read is what was written."""
    one = erasure(user=digest(SALT, "ann"), by="root", reason="asked")
    assert unpack(pack(one)) == one
    assert b"ann" not in pack(one)
