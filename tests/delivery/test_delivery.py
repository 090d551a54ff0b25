"""Whatever befalls a page, each of its events that a browser can deliver is stored, once."""

from pathlib import Path

from tests.delivery.visits import delivered

EVENTS = 50  # in the mix; `python -m tests.delivery` makes 5 000


async def test_each_event_is_stored_once_whatever_befalls_its_page(tmp_path: Path) -> None:
    """With failed requests, 503, a cut connection, a closed tab, a killed renderer, and offline with the kept queue."""
    for row in await delivered(tmp_path, EVENTS):
        assert row.duplicated == 0, row
        assert row.delivered == row.sent or not row.cause.is_deliverable, row
