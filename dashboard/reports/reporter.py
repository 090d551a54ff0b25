"""Sends reports when they are due, and alarms when there are any, once for all dashboards.

Every LOOK_SECONDS each dashboard looks whether anybody wishes to be told anything. One of them has the lease, and does it: it
makes a message, sends it, and notes in Redis that this address was told this. The note is written behind the message, so a
process that dies between the two leaves a message that is sent again by the next one: **at least once**. It has the same
Message-ID, by which mail programs drop the second one, and it is one message to one address, because each has a note of its own.
The other order would lose a report in silence, which is worse than one that comes twice.

What can't be made or sent now is tried again, with pauses that grow to half an hour, until it was sent, was refused for good, or a
newer report takes its place. An alarm that could not be sent is judged anew a quarter of an hour later.

Not promised: when exactly. After a long stop the last report comes late, and those before it never.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Literal

from dashboard.catalogue.contract import Asker, Away, Refused, Unanswered
from dashboard.reports import alarms, due, letters
from dashboard.reports.lease import Lease
from dashboard.reports.summary import summary_of
from dashboard.sites.records import Sites, SiteView
from runtime import redis
from runtime.notify.message import Message, Undelivered
from runtime.notify.notifier import Notifier
from schemas.redis.keys import REPORTS_KEY, TOLD_KEY
from schemas.reports import ALARMS, REPORTS, Wish, Wishes, told_field

LOOK_SECONDS = 10.0
PAUSE_SECONDS, PAUSE_SECONDS_MAX = 30.0, 1_800.0
STOP_SECONDS = 5.0  # for what is being sent to be noted, when the process is told to end
Result = Literal["nothing", "elsewhere", "done", "redis", "clickhouse", "fault"]
_log = logging.getLogger("dashboard.reports")


class Reporter:
    """Looks for what is due, and tells it. `looked` counts the looks by their results; `url` is where people reach the dashboard."""

    def __init__(
        self,
        client: redis.Redis,
        *,
        sites: Sites,
        asker: Asker,
        notifier: Notifier,
        looked: Callable[[Result], None],
        url: str = "",
        now: Callable[[], float] = time.time,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._redis = client
        self._sites = sites
        self._asker = asker
        self._notifier = notifier
        self._looked = looked
        self._url = url
        self._now = now
        self._look_seconds = look_seconds
        self._lease = Lease(client)
        self._stopping = asyncio.Event()
        self._sent: dict[str, str] = {}  # what was sent and could not be noted yet, by the field of the note
        self._paused: dict[str, tuple[int, float]] = {}  # how often something failed, and until when it is left alone
        self._judged: dict[str, int] = {}  # up to which quarter of an hour a site was judged
        self._unreadable: dict[str, str] = {}
        self._said: Result = "done"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Looks for as long as the body runs. What is being sent then is sent and noted."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            self._stopping.set()
            await asyncio.wait({task}, timeout=STOP_SECONDS)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            with contextlib.suppress(redis.RedisError, OSError):
                await self._lease.give_back()

    async def with_application(self, _: object) -> AsyncIterator[None]:
        """Looks for as long as a web application runs, as one of its `cleanup_ctx`."""
        async with self.running():
            yield

    async def look(self) -> Result:
        """Tells everything that is due now. Returns what came of it, and raises nothing but what is a fault of ours."""
        try:
            wishes = self._read(_texts(await self._redis.hgetall(REPORTS_KEY)))
            if not any(one.wishes for one in wishes.values()) and not self._sent:
                return "nothing"
            told = _texts(await self._redis.hgetall(TOLD_KEY))
            for field, value in list(self._sent.items()):
                if told.get(field, "") < value:  # another one may have told them more meanwhile
                    await self._note(field, value)
                    told[field] = value
                self._sent.pop(field, None)
            if not await self._lease.hold():
                return "elsewhere"
            await self._sites.read()
            return await self._tell_all(wishes, told)
        except (redis.RedisError, OSError, Away) as error:
            self._say("redis", "reports wait: Redis does not answer: %s", error)
            return "redis"
        except _LeaseLost:
            return "elsewhere"

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                result = await self.look()
            except Exception:  # the outermost loop: the dashboard goes on, whatever this met
                _log.exception("reports could not be sent: an error that nobody foresaw; they are tried again")
                result = "fault"
            if result in {"done", "nothing", "elsewhere"} and self._said not in {"done", result}:
                _log.info("reports go on")
            self._said = result if result not in {"nothing", "elsewhere"} else "done"
            self._looked(result)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._look_seconds):
                    await self._stopping.wait()

    async def _tell_all(self, wishes: Mapping[str, Wishes], told: Mapping[str, str]) -> Result:
        result: Result = "done"
        for name, wished in sorted(wishes.items()):
            site = self._sites.get(name)
            if site is None:
                continue  # `forebay report list` says so
            for tell in (self._tell_reports, self._tell_alarms):
                if self._stopping.is_set():
                    return result
                if not self._is_free(f"{tell.__name__} {name}"):
                    continue
                try:
                    await tell(site, wished, told)
                    self._paused.pop(f"{tell.__name__} {name}", None)
                except (Unanswered, Refused) as error:
                    self._pause(f"{tell.__name__} {name}")
                    self._say("clickhouse", "reports of %s wait: %s", name, error)
                    result = "clickhouse"
        return result

    async def _tell_reports(self, site: SiteView, wished: Wishes, told: Mapping[str, str]) -> None:
        now = int(self._now())
        for what in REPORTS:
            period = due.last_period(what, site.zone, now)
            wishes = [
                one
                for one in self._free(wished.wishes, what, site)
                if due.is_due(one, period, told.get(_field(one, site), ""))
            ]
            if wishes:
                summary = await summary_of(self._asker, site, period, now)
                for one in wishes:
                    await self._tell(one, site, letters.report(summary, what, one.to, self._url), str(period.since))

    async def _tell_alarms(self, site: SiteView, wished: Wishes, told: Mapping[str, str]) -> None:
        now = int(self._now())
        quarter = alarms.hour_before(now).ends
        wishes = [one for what in ALARMS for one in self._free(wished.wishes, what, site)]
        if not wishes or self._judged.get(site.name) == quarter:
            return
        found = await alarms.alarm_of(self._asker, site, wished, now)
        self._judged[site.name] = quarter
        if found is None:
            return
        for one in wishes:
            before = told.get(_field(one, site), "")
            is_quiet = before.isdecimal() and now - int(before) < wished.pause_hours * 3_600
            if one.what == found.what and not is_quiet:
                await self._tell(one, site, letters.alarm(found, one.to, self._url), str(now))

    async def _tell(self, wish: Wish, site: SiteView, message: Message, value: str) -> None:
        """Sends a message, and notes it. Raises RedisError, OSError or _LeaseLost if that is no more ours to do."""
        if self._stopping.is_set():
            return
        field = _field(wish, site)
        if not await self._lease.hold():
            raise _LeaseLost
        destination = None
        try:
            destination = self._notifier.destination(wish.address)
            await self._notifier.attempt(message, destination)
        except Undelivered as error:
            if destination is None or not error.is_final:
                self._pause(field, error.seconds)
                _log.warning(
                    "%s of %s was not sent, and is tried again: %s: %s", wish.what, site.name, error.reason, error
                )
                return
            self._notifier.give_up(message, destination, error)
        self._paused.pop(field, None)
        self._sent[field] = value
        await self._note(field, value)

    async def _note(self, field: str, value: str) -> None:
        await self._redis.hset(TOLD_KEY, field, value)
        self._sent.pop(field, None)

    def _read(self, found: Mapping[str, str]) -> dict[str, Wishes]:
        """Returns the wishes by site. A record that can't be read is passed over, and logged once."""
        wishes = {}
        for name, value in found.items():
            try:
                wishes[name] = Wishes.decode(value)
            except (ValueError, RecursionError):
                if self._unreadable.get(name) != value:
                    _log.warning("site %s: who is told of it can't be read; `forebay report set` writes it anew", name)
                self._unreadable[name] = value
        return wishes

    def _free(self, wishes: Iterable[Wish], what: str, site: SiteView) -> list[Wish]:
        """Returns the wishes of this kind that are not left alone now."""
        return [one for one in wishes if one.what == what and self._is_free(_field(one, site))]

    def _is_free(self, key: str) -> bool:
        return self._now() >= self._paused.get(key, (0, 0.0))[1]

    def _pause(self, key: str, seconds: float = 0.0) -> None:
        failures = self._paused.get(key, (0, 0.0))[0]
        pause = max(min(PAUSE_SECONDS * 2.0**failures, PAUSE_SECONDS_MAX), seconds)
        self._paused[key] = (min(failures + 1, 10), self._now() + pause)

    def _say(self, result: Result, text: str, *values: object) -> None:
        """Logs why nothing is sent: when it begins, and not at each look."""
        if self._said != result:
            _log.warning(text, *values)


class _LeaseLost(Exception):
    """Says that another dashboard tells people now."""


def _field(wish: Wish, site: SiteView) -> str:
    return told_field(wish.what, site.name, wish.to)


def _texts(found: Mapping[Any, Any]) -> dict[str, str]:
    return {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in found.items()}
