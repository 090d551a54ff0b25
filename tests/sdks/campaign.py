"""Lets SDKs make their visits to one running Forebay, and says of each what is wrong with what became of it.

All visits are made at once, because most of their time is the SDKs' own waiting; those during which ingest is killed are made
afterwards. Rows are read when everything that was acknowledged before a last event is stored, so a copy would be among them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import urllib.request
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import clickhouse_connect
from playwright.async_api import Browser

from runtime import redis
from schemas.redis.keys import SITES_KEY
from schemas.site import RegisteredSite
from tests.sdks.declared import KILL, KILLED, PLAIN, VISITS, Sdk
from tests.sdks.drivers import Pages, Visit, chromium, run, tab_of
from tests.sdks.judged import faults
from tests.sdks.relay import Channel, Fault, Relay
from tests.support.system import System, running
from tests.support.volume import IS_WHOLE
from tests.support.waiting import until

TABS, PROCESSES = 12, 3  # at once, of a machine with two cores
STORED_SECONDS = 75.0  # after the script has ended; an SDK waits 24 s before its fourth try
LOOK_SECONDS = 1.0  # between two counts of the rows
QUIET_SECONDS = 8.0  # the longest of the scripts' pauses is a second; a first try again comes within 6
STRIKES_APART_SECONDS = 5.0
READY, END = "ready.sdk.test", "end.sdk.test"
READY_KEY = "umami:ready"

Faults = dict[tuple[str, str], list[str]]  # by SDK and visit


class Campaign:
    """Holds the running Forebay and what stands around it."""

    def __init__(self, system: System, pages: Pages, browser: Browser | None, *, is_whole: bool) -> None:
        self._system = system
        self._pages = pages
        self._browser = browser
        self._is_whole = is_whole
        self.relay = Relay(lambda: str(system.facts()["url"]), self.strike)
        self.is_over = False
        self._stored: dict[str, int] = {}  # rows by site
        self._tabs = asyncio.Semaphore(TABS)
        self._processes = asyncio.Semaphore(PROCESSES)
        self._struck = asyncio.Lock()
        self._struck_at = 0.0
        port = int(system.facts()["clickhouse_url"].rpartition(":")[2])
        self._clickhouse = clickhouse_connect.get_client(host="127.0.0.1", port=port, autogenerate_session_id=False)

    async def strike(self) -> None:
        """Kills all workers of ingest, unless that was just done."""
        now = asyncio.get_running_loop().time()
        async with self._struck:
            if now - self._struck_at > STRIKES_APART_SECONDS:
                self._struck_at = now
                for pid in self._system.facts()["pids"]["ingest"]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)

    async def registered(self, sdks: Sequence[Sdk]) -> None:
        """Registers the sites of all visits that have a key, and returns when ingest knows them."""
        sites = {READY: RegisteredSite(keys=(READY_KEY,)).encode()}
        for sdk in sdks:
            for visit in (*VISITS, KILLED):
                if sdk.key:
                    key = f"{sdk.key[0]}:{sdk.key_of(visit)}"
                    sites[sdk.site_of(visit)] = RegisteredSite(keys=(key,)).encode()
        with redis.blocking_client(self._system.facts()["redis_url"], seconds=10, is_text=True) as client:
            client.hset(SITES_KEY, mapping=sites)
        await self._system.until(lambda: asyncio.to_thread(self._post, READY_KEY))

    def _post(self, site: str) -> bool:
        body = json.dumps({"site": site, "name": "sdk"}).encode()
        request = urllib.request.Request(f"{self._system.facts()['url']}/f", body, {"Content-Type": "application/json"})
        try:
            urllib.request.urlopen(request, timeout=20).close()
        except OSError:  # also while ingest is started again
            return False
        return True

    async def watch(self) -> None:
        """Counts the rows of each site again and again, until the campaign is over."""
        while not self.is_over:
            await self._counted()
            await asyncio.sleep(LOOK_SECONDS)

    async def _counted(self) -> None:
        sql = "SELECT site, count() FROM forebay.events WHERE site LIKE '%.sdk.test' GROUP BY site"
        self._stored = dict(map(tuple, (await asyncio.to_thread(self._clickhouse.query, sql)).result_rows))

    async def made(
        self, sdks: Sequence[Sdk], visits: Mapping[str, tuple[Fault, ...]]
    ) -> tuple[Faults, dict[tuple[str, str], Channel]]:
        """Makes these visits of all SDKs at once. Returns what went wrong on the clients' side, and what each sent."""
        said: Faults = defaultdict(list)
        channels = {
            (sdk.name, visit): await self.relay.open(given, sdk.carries)
            for sdk in sdks
            for visit, given in visits.items()
            if sdk.makes(visit, is_whole=self._is_whole)
        }
        async with asyncio.TaskGroup() as tasks:
            for sdk in sdks:
                own = [(visit, channels[sdk.name, visit]) for visit in visits if (sdk.name, visit) in channels]
                if sdk.runs_in == "browser":
                    for visit in own:
                        tasks.create_task(self._in_a_tab(sdk, visit, said))
                elif own:
                    tasks.create_task(self._in_a_process(sdk, own, said))
        return said, channels

    async def _in_a_tab(self, sdk: Sdk, visit: Visit, said: Faults) -> None:
        assert self._browser is not None
        name, channel = visit
        page = self._pages.add(sdk, name, channel)
        async with self._tabs, tab_of(self._browser, sdk, page, said[sdk.name, name]):
            await self._settled(sdk, visit)

    async def _in_a_process(self, sdk: Sdk, visits: Sequence[Visit], said: Faults) -> None:
        async with self._processes:
            for name, wrong in (await run(sdk, visits)).items():
                said[sdk.name, name] += wrong

    async def _settled(self, sdk: Sdk, visit: Visit) -> None:
        """Returns when a page may be closed, or has had time enough; what is missing then is said by its judge.

        One that comes back is needed until its rows are stored; another one until it has sent its events, or has sent
        nothing for a while: after a refusal it may have fewer.
        """
        name, channel = visit

        def is_settled() -> bool:
            if channel.open:
                return False
            if name == PLAIN and channel.quiet_seconds() < QUIET_SECONDS:
                return False  # a client that took the answer for none would come again
            if sdk.returns(name):
                return not channel.faults and self._stored.get(sdk.site_of(name), 0) >= len(sdk.rows)
            return len(channel.events()) >= len(sdk.rows) or channel.quiet_seconds() > QUIET_SECONDS

        with contextlib.suppress(AssertionError):
            await until(is_settled, STORED_SECONDS)

    async def drained(self) -> None:
        """Returns when everything that was acknowledged is stored: of one shard, a last event is stored last."""
        await self._system.until(lambda: asyncio.to_thread(self._post, END))

        async def is_stored() -> bool:
            await self._counted()
            return END in self._stored

        await self._system.until(is_stored)

    async def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Returns all rows by site, in the order in which they happened."""
        sql = "SELECT * FROM forebay.events WHERE site LIKE '%.sdk.test' ORDER BY site, ts"
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in (await asyncio.to_thread(self._clickhouse.query, sql)).named_results():
            found[row["site"]].append(dict(row))
        return found

    def close(self) -> None:
        self._clickhouse.close()


@asynccontextmanager
async def standing(directory: Path, sdks: Sequence[Sdk], *, is_whole: bool) -> AsyncIterator[Campaign]:
    """Runs Forebay, and what stands around it, inside the block."""
    async with (
        running(directory, FOREBAY_SHARDS="1") as system,
        Pages().served() as pages,
        chromium(sdks) as browser,
    ):
        campaign = Campaign(system, pages, browser, is_whole=is_whole)
        await campaign.relay.start()
        try:
            await campaign.registered(sdks)
            watching = asyncio.ensure_future(campaign.watch())
            try:
                yield campaign
            finally:
                campaign.is_over = True
                await watching
        finally:
            await campaign.relay.close()
            campaign.close()


async def faults_of(
    sdks: Sequence[Sdk],
    directory: Path,
    visits: Mapping[str, tuple[Fault, ...]] = VISITS,
    *,
    kills: bool = True,
    is_whole: bool = IS_WHOLE,
) -> list[str]:
    """Makes all visits of these SDKs. Returns everything that is wrong, a line for each."""
    async with standing(directory, sdks, is_whole=is_whole) as campaign:
        said, channels = await campaign.made(sdks, visits)
        if kills:
            more, others = await campaign.made(sdks, {KILLED: KILL})
            said |= more
            channels |= others
        await campaign.drained()
        rows = await campaign.rows()
    wrong = []
    for sdk in sdks:
        for visit in (*visits, KILLED):
            if (channel := channels.get((sdk.name, visit))) is not None:
                found = said[sdk.name, visit] + faults(sdk, visit, rows[sdk.site_of(visit)], channel)
                wrong += [f"{sdk.name}, {visit}: {one}" for one in found]
    return wrong
