"""Has a site with closed days on a real engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.closed_site import Site
from tests.support.engine import EngineProcess
from tests.support.fresh import fresh_tables


@pytest.fixture(scope="module", name="engine_of_ours")
def with_an_engine(engine: EngineProcess) -> Iterator[Site]:
    """Gives a site on the engine of all, with new tables."""
    fresh_tables(engine)
    site = Site(engine)
    yield site
    site.forget()


@pytest.fixture(name="site")
def with_closed_days(engine_of_ours: Site) -> Site:
    """Returns the site with all of its days closed."""
    engine_of_ours.fill()
    return engine_of_ours
