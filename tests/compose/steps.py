"""Does with a composition what is done with each: brings it up, gives it events, disturbs it under load, stops it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.compose.checks import Checks
from tests.compose.load import post, posting
from tests.compose.stack import SITE, Stack
from tests.support.posting import Posted
from tests.support.waiting import wait_until

INGEST = "http://127.0.0.1:8000"
EVENTS = 50
VISITORS = 64  # enough for each shard to have some
MORE_SECONDS = 60


def comes_up(checks: Checks, stack: Stack) -> None:
    """Brings it up."""
    with checks.check(
        f"{stack.name}: every service comes up healthy, those that run once end with 0", is_needed=True
    ) as figures:
        stack.up()
        stack.wait_healthy()
        figures.append(", ".join(stack.services))


def takes_events(checks: Checks, stack: Stack) -> None:
    """Registers the site, and gives it events."""
    with checks.check(f"{stack.name}: forebay site add, and its snippet", is_needed=True):
        said = stack.inside("ingest", "forebay", "site", "add", SITE)
        assert f"{INGEST}/f.js" in said, said
        assert SITE in stack.inside("ingest", "forebay", "site", "list")
    posted = Posted(INGEST, "first", visitors=VISITORS)
    with checks.check(
        f"{stack.name}: {EVENTS} events through the published port are stored once", is_needed=True
    ) as figures:
        wait_until(lambda: _is_taken(posted), 30)  # workers look for new sites every few seconds
        post(posted, EVENTS)
        assert len(posted.acknowledged) >= EVENTS, posted.statuses
        stack.assert_stored(posted)
        figures.append(f"{len(posted.acknowledged)} of {len(posted.acknowledged)}")
    with checks.check(f"{stack.name}: the books balance: forebay audit"):
        stack.inside("flusher", "forebay", "audit")


@contextmanager
def disturbed(checks: Checks, stack: Stack, what: str, prefix: str) -> Iterator[Callable[[], None]]:
    """Checks that every acknowledged event is stored once, whatever the body does while events come.

    Gives a function that returns when EVENTS more were acknowledged.
    """
    with checks.check(f"{stack.name}: {what} under load, and every acknowledged event is stored once") as figures:
        posted = Posted(INGEST, prefix, visitors=VISITORS)

        def more() -> None:
            enough = len(posted.acknowledged) + EVENTS
            wait_until(lambda: len(posted.acknowledged) >= enough, MORE_SECONDS)

        with posting(posted):
            more()
            yield more
            more()
        stack.assert_stored(posted)
        others = {status: count for status, count in posted.statuses.items() if status != 202}
        figures.append(f"{len(posted.acknowledged)} acknowledged, {len(posted.unclear)} not")
        figures.append(f"other answers {others}, faults {dict(posted.faults)}")


def ends_in_order(checks: Checks, stack: Stack) -> None:
    """Looks whether the books balance after all that was done, and stops it."""
    with checks.check(f"{stack.name}: the books balance after all that: forebay audit"):
        stack.inside("flusher", "forebay", "audit")
    with checks.check(f"{stack.name}: ingest and flusher stop in order, within their time"):
        stack.compose("stop", seconds=180)
        codes = {name: stack.state(name)["State"]["ExitCode"] for name in ("ingest", "flusher")}
        assert codes == {"ingest": 0, "flusher": 0}, (
            f"{codes}: {stack.compose('logs', '--tail', '8', 'ingest', 'flusher')}"
        )


def _is_taken(posted: Posted) -> bool:
    post(posted, 1)
    return bool(posted.acknowledged)
