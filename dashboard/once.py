"""Makes one report at once, for `forebay report send`: prints it, or sends it to whoever is asked for. It notes nothing, so what is due stays due."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence
from typing import Literal

from dashboard.catalogue.contract import Refused, Unanswered
from dashboard.parts import parts_of
from dashboard.reports import due, letters
from dashboard.reports.summary import summary_of
from runtime import redis
from runtime.notify.message import Undelivered
from schemas.redis.keys import REPORTS_KEY
from schemas.reports import WEBHOOK, What, Wishes
from schemas.settings import DashboardSettings

Form = Literal["text", "html"]


async def send(
    settings: DashboardSettings, site: str, *, what: What, to: Sequence[str] = (), printed: Form | None = None
) -> int:
    """Sends the last report of a site to these addresses, or to those who wish for it, or prints it. Returns the exit code."""
    async with contextlib.AsyncExitStack() as held:
        parts = parts_of(settings, held)
        try:
            await parts.sites.refresh()
            view = parts.sites.get(site)
            if view is None:
                return _fault(f"there is no site {site[:100]!r}: `forebay site list` shows those that there are")
            now = int(time.time())
            summary = await summary_of(parts.asker, view, due.last_period(what, view.zone, now), now)
            if not to and not printed:
                record = await parts.store.hget(REPORTS_KEY, view.name)
                to = [one.to for one in (Wishes.decode(record).wishes if record else ()) if one.what == what]
        except (Refused, Unanswered, redis.RedisError, OSError, ValueError) as error:
            return _fault(str(error))
        if printed:
            message = letters.report(summary, what, (*to, WEBHOOK)[0], settings.dashboard_url)
            sys.stdout.write(message.html if printed == "html" else message.text)
            return 0
        if not to:
            return _fault(f"nobody gets the {what} report of {view.name}: name an address with --to")
        failed = 0
        for one in to:
            try:
                destination = parts.notifier.destination("" if one == WEBHOOK else one)
                await parts.notifier.attempt(letters.report(summary, what, one, settings.dashboard_url), destination)
                sys.stdout.write(f"sent to {one}\n")
            except Undelivered as error:
                failed += 1
                _fault(f"not sent to {one}: {error.reason}: {error}")
    return 1 if failed else 0


def _fault(text: str) -> int:
    sys.stderr.write(f"forebay report: {text}\n")
    return 1
