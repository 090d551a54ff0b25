"""Collects requests: makes columns of rows of their bodies, and their answers, without waiting for anything.

Requests wait with their bodies as they came until a commit can take their rows. Then `collect`
takes as many as fill a commit, and does with them

    decode    the dialect of each request reads its body: its coding, its JSON, its events
    steps     STEPS of ingest/collect/steps.py judge all events, column by column, and fill the rows
    answer    each request's dialect says what is sent when the rows are durable (I1)

A request that is too large for one turn of the loop (ingest/dialects/pieces.py) goes the same way alone and in pieces, which
the appender has done one by one (`Batch.large`). It is refused or taken whole by a fault and by a limit as any other.

An event that fails a step is rejected for that step's reason: it is counted with its site and
reason, and costs no neighbour. If something of ours fails in the middle of a batch, each request of
it goes the same way alone, so a fault costs the request that it is in, counted. Both HTTP lanes
bring requests as `Exchange`s, and send `exchange.reply`, or, when the rows could not be made
durable, what `shed` returns.

Not promised: that bad bodies are cheap. They are bounded, not fast: 1 MiB of `[{},{},` costs 25 ms
and 30 MB, for a moment.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple, TypeVar

from ingest.agents.agent import Agents
from ingest.batch import Batch, joined, row_bytes
from ingest.collect.events import Events, Others, grouped
from ingest.collect.exchange import NO_REPLY, Asked, Exchange, Reply, Route, Sender
from ingest.collect.geolocation import Geolocation
from ingest.collect.keys import ServerKeys
from ingest.collect.limiter import Limiter
from ingest.collect.named_senders import USER_AGENT_BYTES_MAX, NamedSenders
from ingest.collect.paths import Paths, dialects_of
from ingest.collect.places import Places
from ingest.collect.rejections import Rejections
from ingest.collect.sites import Sites
from ingest.collect.steps import STEPS
from ingest.collect.suspicion import Suspicions
from ingest.collect.tally import Counters, Tally
from ingest.collect.visitor import SaltMissing, Visitors, traits_of
from ingest.dialects.contract import Answer, Decoded, Dialect, Fates, Fork, Unsupported
from ingest.dialects.cors import Cors
from ingest.dialects.event import Limits
from ingest.dialects.pieces import PIECE_EVENTS, Large
from ingest.dialects.request import FieldReader, Headers, Rejected
from ingest.dialects.table import TableRow, table
from ingest.fates import Reason, Shed
from runtime.client_ip import ClientAddresses
from schemas.keys import PREFIX

logger = logging.getLogger(__name__)

TEXT_BYTES_MAX = 1 << 20  # that are decoded in one turn of the loop: bad text of so many bytes holds it up for 25 ms
# Text of 1 kB can become 1 MiB that is refused, and has no rows: 40 such bodies took 1 s. So a batch also ends after so
# long, if it has bodies that are refused or large; the loop goes on, and the others are collected next.
DECODING_SECONDS = 0.02
LARGE_BYTES = 4 << 10
REPLIES_KEPT = 1_024  # of those without a body; all are forgotten when full
TAKEN: Fates = [None]  # of a request with one event that was not rejected
NOT_FOUND = Reply(404, ((b"content-type", b"text/plain"),), b"not found\n", "other")

T = TypeVar("T")


class Judged(NamedTuple):
    """Holds what became of the events of some requests: their rows, and all that is to be counted."""

    batches: list[Batch]
    groups: list[Events]
    others: Others


class Collector:
    """Judges requests in batches, and makes their rows and their answers. It keeps no request between two batches."""

    def __init__(
        self,
        *,
        limits: Limits,
        sites: Sites,
        visitors: Visitors,
        addresses: ClientAddresses,
        agents: Agents,
        geolocation: Geolocation,
        counters: Counters,
        shards: int,
        shard_key: int,
        now_ms: Callable[[], int],
        rejections: Rejections | None = None,
        routes: Sequence[TableRow] | None = None,
        rows_max: int = 2_000,
        bytes_max: int = 4 << 20,
        suspicions: Suspicions | None = None,
        keys: ServerKeys | None = None,
        limiter: Limiter | None = None,
    ) -> None:
        """Takes in `routes` another table than `table(limits)`.

        A batch takes no more requests once it has `rows_max` events, or `bytes_max` bytes of text.
        """
        self._paths = Paths(table(limits) if routes is None else routes)
        self.places = Places(sites=sites, visitors=visitors, shards=shards, shard_key=shard_key, limiter=limiter)
        self._addresses = addresses
        self._agents = agents
        self.geolocation = geolocation
        suspicions = Suspicions() if suspicions is None else suspicions
        visitors.salts.ended.append(suspicions.rates.forget)
        self._steps = (*STEPS, suspicions.judge)
        first, *others = self._steps
        self._steps_with_key = (first, NamedSenders(agents, geolocation).named, *others)
        self._keys = ServerKeys() if keys is None else keys
        self._tally = Tally(counters, Rejections() if rejections is None else rejections, sites, geolocation)
        self._rows_max = rows_max
        self._bytes_max = min(bytes_max, TEXT_BYTES_MAX)
        self._replies: dict[tuple[int, int, str], Reply] = {}
        self._reader = FieldReader((geolocation.header,))
        self.now_ms = now_ms
        self.cors = Cors()

    def route(self, path: bytes) -> Route | None:
        """Returns the route of a path; None if it is not a collecting one."""
        return self._paths.of(path)

    def asked(self, method: str, target: bytes, headers: Headers) -> Asked | None:
        """Returns a request's head, judged; None if its path is not a collecting one."""
        route = self._paths.of(target.partition(b"?")[0])
        if route is None:
            return None
        return Asked(self._reader.head(method, target, headers), route, route.dialects.get(method))

    def sender(self, peer: str, fields: Mapping[bytes, bytes]) -> Sender:
        """Returns what is known of who sent a request; the settings are the same as long as the process lives."""
        client = self._addresses.client(peer, fields)
        user_agent = fields.get(b"user-agent", b"")[:USER_AGENT_BYTES_MAX]
        return Sender(
            client,
            traits_of(client.address.hashed, user_agent),
            self._agents.of(fields),
            self.geolocation.of(client, fields),
            fields.get(b"sec-gpc") == b"1" or fields.get(b"dnt") == b"1",
            self.cors.of(fields.get(b"origin")),
        )

    def collect(self, waiting: deque[Exchange]) -> Batch:
        """Takes requests from the left until there are enough for a commit, at least one. Raises nothing."""
        taken: list[Exchange] = []
        large: list[Iterator[Batch | None]] = []
        rows = size = 0
        began = perf_counter()
        while waiting and rows < self._rows_max and size < self._bytes_max:
            exchange = waiting.popleft()
            decoded = self._tried(self._decoded, [exchange])
            if decoded is not None:
                taken.append(exchange)
                rows += len(decoded.items)
                size += decoded.size
                if decoded.size <= LARGE_BYTES:
                    continue
            else:
                size += len(exchange.body)
                if exchange.reading is None:
                    taken.append(exchange)
                else:
                    large.append(self._in_pieces(exchange))
            if perf_counter() - began > DECODING_SECONDS:
                break
        batch = self._collected(taken)
        batch.large = large
        return batch

    def _tried(self, work: Callable[[list[Exchange]], T], taken: list[Exchange]) -> T | None:
        """Returns what `work` makes of these requests, or None if it fails; a single one is refused then."""
        try:
            return work(taken)
        except Rejected as rejected:
            reason: Reason | Shed = rejected.reason
        except SaltMissing:  # Redis was away for longer than a day begins ahead
            reason = Shed.REDIS
        except Exception as error:  # the outermost loop: a fault of ours costs one request, counted
            reason = Reason.SERVER_ERROR
            if len(taken) == 1:
                _log(error)
        if len(taken) == 1:
            self._refuse(taken[0], reason)
        return None

    def _decoded(self, taken: list[Exchange]) -> Decoded | None:
        """Gives a request what its dialect decodes; None if there is no room for it. Raises Rejected."""
        [exchange] = taken
        head, dialect = exchange.asked.head, exchange.asked.dialect
        assert dialect is not None  # its lane answered a request without one at once, by `without_dialect`
        if isinstance(dialect, Fork):
            dialect = dialect.choose(head, exchange.body)
        exchange.dialect = dialect
        if isinstance(dialect, Large):
            exchange.reading = dialect.pieces(head, exchange.body)
            return self._read_on(taken)
        return self._heeded(exchange, dialect.decode(head, exchange.body))

    def _read_on(self, taken: list[Exchange]) -> Decoded | None:
        """Does the next piece of decoding a request; None if it was not the last, or if there is no room. Raises Rejected."""
        [exchange] = taken
        assert exchange.reading is not None
        try:
            size = next(exchange.reading)
        except StopIteration as end:
            exchange.reading = None
            return self._heeded(exchange, end.value)
        if size > exchange.held and not exchange.lane.hold(exchange, size):
            self._refuse(exchange, Shed.MEMORY)
        return None

    def _heeded(self, exchange: Exchange, decoded: Decoded) -> Decoded | None:
        """Gives a request what was decoded, and its key and sender; None if there is no room for it. Raises Rejected."""
        head = exchange.asked.head
        exchange.decoded = decoded
        if decoded.credential or decoded.needs_key:
            exchange.key = self._keys.of(decoded.credential)
            if exchange.key is None and (decoded.needs_key or decoded.credential.startswith(PREFIX)):
                raise Rejected(Reason.WRONG_KEY)
        if exchange.asked.sender is None:
            exchange.asked.sender = self.sender(exchange.peer, head.fields)
        if decoded.size > exchange.held and not exchange.lane.hold(exchange, decoded.size):
            self._refuse(exchange, Shed.MEMORY)
            return None
        return decoded

    def _collected(self, taken: list[Exchange]) -> Batch:
        batch = self._tried(self._batch, taken)
        if batch is not None:
            return batch
        if len(taken) > 1:
            return joined([self._collected([exchange]) for exchange in taken])
        return Batch((), (), (), [*taken], 0)

    def _batch(self, taken: list[Exchange]) -> Batch:
        """Returns the rows of decoded requests, and gives each its reply. Counts nothing before all of it is done."""
        judged = Judged([], [], {})
        self._judge(judged, None, taken)
        return self._answered(judged, taken)

    def _judge(self, judged: Judged, part: slice | None, taken: list[Exchange]) -> None:
        """Makes rows of the events of decoded requests, or of a part of them."""
        groups, others = grouped(taken, part)
        for events in groups:
            for step in self._steps_with_key if events.have_key else self._steps:
                step(events, self.places)
                events.leave()
                if not len(events):
                    break
            if len(events):
                shards = [place.shard for place in events.place]
                judged.batches.append(Batch(events.columns(), shards, events.owner, [], 0))
        judged.groups.extend(groups)
        for exchange, items in others.items():
            judged.others.setdefault(exchange, {}).update(items)

    def _answered(self, judged: Judged, taken: list[Exchange]) -> Batch:
        """Gives requests their replies, and counts their events. Returns all rows."""
        batches, groups, others = judged
        rejected: dict[Exchange, dict[int, Reason]] = {}
        for events in groups:
            for rejection in events.rejections:
                rejected.setdefault(rejection.owner, {})[rejection.position] = rejection.reason
        batch = batches[0] if len(batches) == 1 else joined(batches)
        for exchange in taken:
            if exchange.decoded is not None:
                self._answer(exchange, rejected.get(exchange), others.get(exchange))
            if not exchange.rows:
                batch.finished.append(exchange)
        text = sum([exchange.decoded.size for exchange in taken if exchange.decoded is not None])
        batch.size = row_bytes(len(batch.shards), text)
        self._tally.judged(groups, others)
        # Only their rows are needed from here on, and memory is short while they wait for a commit.
        for exchange in taken:
            exchange.body, exchange.decoded = b"", None
        return batch

    def _in_pieces(self, exchange: Exchange) -> Iterator[Batch | None]:
        """Yields after each piece of decoding and judging a large request, and then its rows, as `_batch` makes them."""
        while exchange.reading is not None:
            yield None
            self._tried(self._read_on, [exchange])
        judged = Judged([], [], {})
        exchange.verdicts = {}
        for first in range(0, len(exchange.decoded.items) if exchange.decoded is not None else 0, PIECE_EVENTS):
            yield None
            self._tried(partial(self._judge, judged, slice(first, first + PIECE_EVENTS)), [exchange])
            if exchange.decoded is None:  # it failed, and all of the request with it
                break
        yield None
        batch = None if exchange.decoded is None else self._tried(partial(self._answered, judged), [exchange])
        yield Batch((), (), (), [exchange], 0) if batch is None else batch

    def _answer(
        self,
        exchange: Exchange,
        rejected: Mapping[int, Reason] | None,
        others: Mapping[int, Reason | Unsupported] | None,
    ) -> None:
        """Gives a request the reply that is sent when its rows are durable."""
        asked, decoded, dialect = exchange.asked, exchange.decoded, exchange.dialect
        assert dialect is not None
        assert decoded is not None
        assert asked.sender is not None
        if decoded.is_many or rejected or others or not decoded.items:
            fates: Fates = [None] * len(decoded.items)
            exchange.rows = len(fates)
            for at, other in (*(rejected or {}).items(), *(others or {}).items()):
                exchange.rows -= 1
                fates[at] = other if isinstance(other, Reason) else None
            if not exchange.rows and exchange.limited is not None and Reason.RATE_LIMITED in fates:
                # Nothing of it was taken, so its client may send all of it again, and nothing becomes two.
                answer = exchange.limited.told(dialect.refusal(asked.head, Reason.RATE_LIMITED))
            elif not exchange.rows and not any(fates) and decoded.site and not self.places.sites.resolve(decoded.site):
                # It says nothing that becomes an event, and its client would never hear that its key is not known.
                self._tally.refused(Reason.UNKNOWN_SITE, 1, decoded.site)
                answer = dialect.refusal(asked.head, Reason.UNKNOWN_SITE)
            else:
                answer = dialect.answer(asked.head, decoded, fates)
        else:
            exchange.rows = 1
            answer = dialect.answer(asked.head, decoded, TAKEN)
        exchange.reply = self._reply(answer, asked.sender.cors, dialect.route)

    def _refuse(self, exchange: Exchange, reason: Reason | Shed) -> None:
        """Refuses a request as a whole, with all events that are known of it."""
        events = 1 if exchange.decoded is None else max(1, exchange.decoded.events)
        exchange.decoded = exchange.reading = None
        exchange.rows = 0
        exchange.reply = self.refused(exchange.asked, reason, events, exchange.dialect)

    def refused(self, asked: Asked, reason: Reason | Shed, events: int = 1, dialect: Dialect | None = None) -> Reply:
        """Returns the answer to a request that is refused as a whole or not read to its end, and counts its events.

        How many events a body has is not known before it is decoded, so it counts as one then. `dialect` is the one that a Fork chose.
        """
        if asked.dialect is None:
            return self.without_dialect(asked)
        dialect = dialect or dialects_of(asked.dialect)[0]
        cors = self.cors.of(asked.head.fields.get(b"origin"))
        if isinstance(reason, Shed):
            self._tally.shed(reason, events)
            return self._reply(dialect.shed(reason), cors, dialect.route)
        self._tally.refused(reason, events)
        return self._reply(dialect.refusal(asked.head, reason), cors, dialect.route)

    def shed(self, exchange: Exchange, reason: Shed) -> Reply:
        """Returns what to answer instead, when the rows of a request could not be made durable."""
        if exchange.reply is NO_REPLY:  # it is not judged yet, and each of its events has its own fate
            for pieces in self.collect(deque((exchange,))).large:
                deque(pieces, 0)
        if not exchange.rows:
            return exchange.reply
        dialect = exchange.dialect
        assert dialect is not None
        self._tally.shed(reason, exchange.rows)
        cors = self.cors.of(exchange.asked.head.fields.get(b"origin"))
        return self._reply(dialect.shed(reason), cors, dialect.route)

    def without_dialect(self, asked: Asked) -> Reply:
        """Answers a preflight, or a method that the path does not know."""
        dialects, head = asked.route.dialects, asked.head
        route = dialects_of(next(iter(dialects.values())))[0].route
        allowed = ", ".join((*dialects, "OPTIONS")).encode()
        cors = self.cors.of(head.fields.get(b"origin"))
        if head.method != "OPTIONS":
            return Reply(405, (*cors, (b"allow", allowed)), b"", route)
        return Reply(204, self.cors.preflight(head, allowed), b"", route)

    def _reply(self, answer: Answer, cors: Any, route: str) -> Reply:
        """Returns a reply; the same object for all that have no body and the same headers, so that a lane knows it again."""
        if answer.headers or answer.body:
            return Reply(answer.status, cors + answer.headers, answer.body, route)
        key = (answer.status, id(cors), route)
        known = self._replies.get(key)
        if known is not None and known.headers is cors:
            return known
        if len(self._replies) >= REPLIES_KEPT:
            self._replies.clear()
        made = self._replies[key] = Reply(answer.status, cors, b"", route)
        return made


def _log(error: Exception) -> None:
    """Logs the kind of an error and its place, never its text, which can hold a piece of the body."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else "nowhere"
    logger.error("a request failed: %s in %s", type(error).__name__, where)
