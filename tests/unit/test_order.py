"""The order in which files of tests are run."""

from __future__ import annotations

from tests.support import order


def test_every_dear_file_is_there() -> None:
    """A file that was moved or removed leaves the list, or it would not come first any more."""
    assert order.gone() == []


def test_dear_files_come_first_and_units_last() -> None:
    """Also where a folder comes earlier by its name."""
    names = ("unit/test_order.py", "contract/test_redis.py", "e2e/test_privacy.py", order.DEAR[1], order.DEAR[0])
    assert sorted(names, key=lambda name: order.rank(order.TESTS / name)) == [
        *reversed(names[2:]),
        *reversed(names[:2]),
    ]
