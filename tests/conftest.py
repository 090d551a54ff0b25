"""Fixtures that tests of every folder may use; whatever only some need stays with them.

The folders are the markers: each says what its tests start (CONTRIBUTING.md names them), so that a part is run by its
path and nothing has to be marked. tests/unit/conftest.py holds the first of them to its word.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.support import order
from tests.support.volume import IS_WHOLE

if TYPE_CHECKING:
    from forebay.clickhouse import ClickHouse
    from tests.support.engine import EngineProcess


# A machine that does other things stalls for longer than the fifth of a second that hypothesis gives an example. What
# `make test` tries is the same each time: new examples are looked for in `make thorough`, where a find stops nobody's work.
settings.register_profile("any machine", deadline=None, derandomize=not IS_WHOLE)
settings.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the dear files first (tests/support/order.py). The tests of a file keep their order."""
    items.sort(key=lambda item: order.rank(item.path))


def pytest_collection_finish() -> None:
    """Leaves out of every later search for garbage what will be there until the end: the modules, and eight thousand tests.

    A search of all that takes a third of a second, and tests that measure make dozens of them.
    """
    gc.freeze()


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    """Gives the next test the umask that this one had: commands that are run in the tests' process set another."""
    before = os.umask(0o077)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Returns the root of the repository."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """Starts one embedded ClickHouse for all modules that do nothing to it that the next would notice.

    A module that kills it, gives it settings, or looks at all that it has done starts one of its own.
    """
    from tests.support.engine import EngineProcess  # half a second to load, and most of tests/unit has no use for it

    process = EngineProcess(tmp_path_factory.mktemp("engine"))
    yield process
    process.close()


@pytest.fixture(scope="module")
def clickhouse(engine: EngineProcess) -> ClickHouse:
    """Makes our tables as new on that engine for each module, and returns the client of our own commands."""
    from tests.support.fresh import fresh_tables  # as above

    return fresh_tables(engine)
