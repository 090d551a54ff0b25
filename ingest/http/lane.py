"""Holds what the connections of the fast lane share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Protocol

from ingest.collect.collector import Collector
from ingest.collect.exchange import Exchange, Reply
from ingest.dialects.contract import RETRY_AFTER
from ingest.fates import Reason, Shed
from ingest.http.budget import Budget
from ingest.http.heads import Heads
from ingest.http.http1 import Answers, HeadReader

KEEPALIVE_SECONDS = 75  # longer than proxies keep theirs (60); aiohttp also gives a head so long
LINGER_SECONDS = 2.0  # what is still coming after a refusal is read this long, so that it can be answered

Submit = Callable[[Exchange], Shed | None]

_TEXT = ((b"content-type", b"text/plain"),)
MALFORMED = Reply(400, _TEXT, b"this is not HTTP/1.1 as this server speaks it\n", "")
LATE = Reply(408, _TEXT, b"the request took too long\n", "")
FULL = Reply(503, (*_TEXT, *RETRY_AFTER), b"no memory is left for this request now\n", "")


class Counters(Protocol):
    """Counts requests, and the fates of those that were not collected."""

    def request(self, route: str, code: int, seconds: float) -> None: ...
    def rejected(self, site: str, reason: Reason, events: int = 1) -> None: ...
    def shed(self, reason: Shed, events: int) -> None: ...


class Connected(Protocol):
    """Describes a connection as its lane sees it."""

    @property
    def is_idle(self) -> bool: ...
    def is_silent(self, since: float) -> bool: ...
    def end(self, *, is_abrupt: bool = False) -> None: ...


class Lane:
    """Holds what the connections of a server share."""

    def __init__(
        self,
        *,
        collector: Collector,
        submit: Submit,
        metrics: Counters,
        budget: Budget,
        body_seconds_max: float,
        foreign: Callable[[], asyncio.Protocol],
    ) -> None:
        """Takes in `foreign` the maker of the protocol that takes a connection over. Made in the loop that serves it."""
        self.loop = asyncio.get_running_loop()  # kept: asking for it is a system call in Python 3.11, 0.2 us
        self.collector = collector
        self.submit = submit
        self.metrics = metrics
        self.budget = budget
        self.body_seconds_max = body_seconds_max
        self.foreign = foreign
        self.heads = Heads(HeadReader(collector), collector.sender)
        collector.geolocation.changed.append(self.heads.forget)
        self.answers = Answers()
        self.connections: set[Connected] = set()
        self.is_leaving = False  # answers say that their connection ends, if no request is under way on it
        self.under_way = 0  # of these connections, those with a request that waits for its answer

    def expected(self) -> int:
        """Returns from how many connections a request could come now. Some clients left while their request waits."""
        return max(0, len(self.connections) - self.under_way)

    def sweep(self) -> None:
        """Cuts off silent connections. Call it every few seconds."""
        since = perf_counter() - KEEPALIVE_SECONDS
        for connection in [one for one in self.connections if one.is_silent(since)]:
            connection.end(is_abrupt=True)
