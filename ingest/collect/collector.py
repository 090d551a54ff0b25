"""Makes rows and an answer of a request, without waiting for anything.

These are the steps, in the order in which they run:

    decode    the dialect of the route reads the body: its coding, its JSON, its events     once a request
    sender    the client's address, user agent, country and privacy signal                  once a head
    address   the event's URL in its parts; an event needs a URL or a site                  each event
    fault     the lengths of its other fields                                               each event
    place     the site, whether it wants the event (Sec-GPC, DNT), visitor and shard        once a site of a request
    page      what the site keeps of the URL                                                each event
    time      the event's moment, by the client's clock                                     each event
    money     the revenue, exactly                                                          each event
    referrer  what is kept of the referrer, and whether it is the site itself               each event
    row       all of it, in the order of the table (ingest/collect/rows.py)                 each event

An event that fails a step is rejected for that step's reason: it is counted with its site and
reason, and costs no neighbour. Both HTTP lanes call the collector. They bring bytes, make `rows`
durable, and only then send the answer; when the rows can't be made durable, they send what `shed`
returns (I1). An `Event`'s `ip`, `user_agent` and `session` are not read, because no dialect proves a
server key.

Not promised: that bad bodies are cheap. They are bounded, not fast: 1 MiB of `[{},{},` costs 25 ms
and 30 MB, for a moment.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from ingest.collect.agent import Agents
from ingest.collect.client_ip import ClientAddresses
from ingest.collect.country import Countries
from ingest.collect.rejections import Rejections
from ingest.collect.rows import Arrival, Place, RowMaker, Said, Sender
from ingest.collect.sites import Sites
from ingest.collect.url import NOWHERE, kept, located, referring
from ingest.collect.visitor import SaltMissing, Visitors, anonymous_client, client_of, owned_client, shard_of
from ingest.dialects.contract import Answer, Decoded, Dialect, Fates
from ingest.dialects.cors import Cors, Pairs
from ingest.dialects.event import Event, Limits, event_ms, fault, revenue_e4
from ingest.dialects.native import Native, Pixel, PixelHead
from ingest.dialects.request import FieldReader, Headers, Rejected, Request
from ingest.fates import Reason, Shed
from schemas.host import site_name
from schemas.row import INTERNAL, Row

logger = logging.getLogger(__name__)

USER_AGENT_BYTES_MAX = 1_024  # of what is hashed and parsed


class Counters(Protocol):
    """Counts the fates of events. A site of "" is one that we don't know."""

    def rejected(self, site: str, reason: Reason, events: int = 1) -> None: ...
    def shed(self, reason: Shed, events: int) -> None: ...
    def properties_dropped(self, properties: int) -> None: ...


class Collected(msgspec.Struct, frozen=True, gc=False):
    """Holds an answer that is to be sent once `rows` are durable. `rows` holds pairs of a shard and a row."""

    status: int
    headers: Pairs
    body: bytes
    rows: list[tuple[int, Row]]
    route: str = "other"  # as metrics name it: a closed set
    size: int = 0  # bytes the rows were decoded from
    dialect: Dialect | None = None
    cors: Pairs = ()


Dialects = Mapping[str, Dialect]  # by method
Routes = Mapping[bytes, Dialects]


def routes(limits: Limits) -> Routes:
    """Returns the dialects by path and method. OPTIONS is answered on all of these paths."""
    return {b"/f": {"POST": Native(limits)}, b"/f.gif": {"GET": Pixel(limits), "HEAD": PixelHead(limits)}}


class Route(msgspec.Struct, frozen=True, gc=False):
    """Holds the dialects of a path by method."""

    dialects: Dialects
    body_bytes_max: int  # of the dialect that allows most


NOT_FOUND = Collected(404, ((b"content-type", b"text/plain"),), b"not found\n", [])


class Collector:
    """Collects events from requests. It holds no request after it returned."""

    def __init__(
        self,
        *,
        limits: Limits,
        sites: Sites,
        visitors: Visitors,
        addresses: ClientAddresses,
        agents: Agents,
        countries: Countries,
        counters: Counters,
        shards: int,
        shard_key: int,
        now_ms: Callable[[], int],
        rejections: Rejections | None = None,
        spoken: Routes | None = None,
    ) -> None:
        """Takes in `spoken` other routes than `routes(limits)`."""
        self._routes = {
            path: Route(dialects, max(dialect.limits.body_bytes_max for dialect in dialects.values()))
            for path, dialects in (routes(limits) if spoken is None else spoken).items()
        }
        self._sites = sites
        self._visitors = visitors
        self._addresses = addresses
        self._agents = agents
        self._countries = countries
        self._counters = counters
        self._rejections = Rejections() if rejections is None else rejections
        self._maker = RowMaker(counters.properties_dropped)
        self._shards = shards
        self._shard_key = shard_key
        self._now_ms = now_ms
        self.fields = FieldReader((countries.header,)).fields
        self.cors = Cors()

    def route(self, path: bytes) -> Route | None:
        """Returns the route of a path; None if it is not a collecting one."""
        return self._routes.get(path)

    def collect(self, method: str, target: bytes, headers: Headers, body: bytes, peer: str) -> Collected:
        """Returns the rows of a request, and the answer to send once they are durable. It raises nothing."""
        path, _, query = target.partition(b"?")
        route = self._routes.get(path)
        if route is None:
            return NOT_FOUND
        return self.collected(Request(method, path, query, self.fields(headers), headers, body, peer), route.dialects)

    def collected(self, request: Request, dialects: Dialects, sender: Sender | None = None) -> Collected:
        """Does what `collect` does, for a lane that has looked up the route, and perhaps the sender, already."""
        dialect = dialects.get(request.method)
        if dialect is None:
            return self._without_dialect(request, dialects)
        try:
            decoded = dialect.decode(request)
            if sender is None:
                sender = self.sender(request.peer, request.fields)
            rows, fates = self._rows(decoded, Arrival(self._now_ms(), sender, {}), dialect)
            return _answered(dialect.answer(request, decoded, fates), sender.cors, dialect, rows, decoded.size)
        except Rejected as rejected:
            return self._refused(request, dialect, rejected.reason)
        except SaltMissing:  # Redis was away for longer than a day begins ahead
            return self._refused(request, dialect, Shed.REDIS)
        except Exception as error:  # the outermost loop: a fault of ours costs one request, counted
            _log(error)
            return self._refused(request, dialect, Reason.SERVER_ERROR)

    def refuse(self, method: str, target: bytes, headers: Headers, reason: Reason | Shed) -> Collected:
        """Returns the answer to a request that a lane will not read to its end, and counts it as one event."""
        path, _, query = target.partition(b"?")
        route = self._routes.get(path)
        if route is None:
            return NOT_FOUND
        request = Request(method, path, query, self.fields(headers), headers, b"", "")
        dialect = route.dialects.get(method)
        if dialect is None:
            return self._without_dialect(request, route.dialects)
        return self._refused(request, dialect, reason)

    def shed(self, collected: Collected, reason: Shed) -> Collected:
        """Returns what to answer instead, when the rows could not be made durable."""
        if collected.dialect is None:
            return collected
        self._counters.shed(reason, len(collected.rows))
        answer = collected.dialect.shed(reason)
        return msgspec.structs.replace(
            collected, status=answer.status, headers=collected.cors + answer.headers, body=answer.body, rows=[]
        )

    def _refused(self, request: Request, dialect: Dialect, reason: Reason | Shed) -> Collected:
        cors = self.cors.of(request.fields.get(b"origin"))
        if isinstance(reason, Shed):
            self._counters.shed(reason, 1)
            return _answered(dialect.shed(reason), cors, dialect, [], 0)
        self._counters.rejected("", reason)
        self._rejections.note("", reason.value)
        return _answered(dialect.refusal(request, reason), cors, dialect, [], 0)

    def _without_dialect(self, request: Request, dialects: Dialects) -> Collected:
        """Answers a preflight, or a method that the path does not know."""
        route = next(iter(dialects.values())).route
        allowed = ", ".join((*dialects, "OPTIONS")).encode()
        cors = self.cors.of(request.fields.get(b"origin"))
        if request.method != "OPTIONS":
            return Collected(405, (*cors, (b"allow", allowed)), b"", [], route)
        return Collected(204, self.cors.preflight(request, allowed), b"", [], route)

    def _rows(self, decoded: Decoded, arrival: Arrival, dialect: Dialect) -> tuple[list[tuple[int, Row]], Fates]:
        rows: list[tuple[int, Row]] = []
        fates: Fates = []
        for item in decoded.items:
            made = self._row(item, arrival, dialect) if type(item) is Event else item
            if type(made) is tuple:
                rows.append(made)
                fates.append(None)
            else:
                assert isinstance(made, Reason)
                self._reject(item, made)
                fates.append(made)
        return rows, fates

    def sender(self, peer: str, fields: Mapping[bytes, bytes]) -> Sender:
        """Returns what is known of who sent a request; the settings are the same as long as the process lives."""
        client = self._addresses.client(peer, fields)
        user_agent = fields.get(b"user-agent", b"")[:USER_AGENT_BYTES_MAX]
        return Sender(
            client,
            user_agent,
            self._agents.of(user_agent),
            self._countries.of(client, fields),
            fields.get(b"sec-gpc") == b"1" or fields.get(b"dnt") == b"1",
            self.cors.of(fields.get(b"origin")),
        )

    def _row(self, event: Event, arrival: Arrival, dialect: Dialect) -> tuple[int, Row] | Reason:
        location = NOWHERE
        if event.url:
            found = located(event.url)
            if found is None or not (found.host or event.site):
                return Reason.INVALID_URL
            location = found
        elif not event.site:
            return Reason.MISSING_URL
        reason = fault(event, dialect.limits)
        if reason is not None:
            return reason
        place = self._place(event, event.site or location.host, arrival, dialect)
        if isinstance(place, Reason):
            return place
        page = kept(location, place.site.url_flags, dialect.limits.url_bytes_max)
        if page is None:
            return Reason.URL_TOO_LONG
        received = arrival.received_ms
        moment = received if event.ts is None else event_ms(event, received, dialect.limits)
        if isinstance(moment, Reason):
            return moment
        money = 0 if event.revenue is None else revenue_e4(event.revenue)
        if money is None:
            return Reason.INVALID_REVENUE
        flags = place.site.url_flags
        referrer = ""
        if event.referrer:
            host, referrer = referring(event.referrer, dialect.limits.url_bytes_max)
            if host and (host == location.host or self._sites.is_own(place.site, host)):
                flags |= INTERNAL
        return place.shard, self._maker.row(event, arrival, place, Said(moment, money, page, referrer, flags, dialect))

    def _place(self, event: Event, name: str, arrival: Arrival, dialect: Dialect) -> Place | Reason:
        if dialect.owns_visitors and event.visitor:
            return self._find(name, arrival, event.visitor)
        place = arrival.places.get(name)
        if place is None:
            place = arrival.places[name] = self._find(name, arrival, None)
        return place

    def _find(self, name: str, arrival: Arrival, owned: str | None) -> Place | Reason:
        """Returns site, visitor and shard, or why the site does not take the event. Raises SaltMissing."""
        site = self._sites.resolve(name)
        if site is None:
            return Reason.UNKNOWN_SITE
        sender = arrival.sender
        is_anonymous = sender.is_signalled and site.privacy != "count"
        if is_anonymous and site.privacy == "drop":
            return Reason.PRIVACY
        if is_anonymous:
            client = anonymous_client(site.name)
        elif owned is not None:
            client = owned_client(site.name, owned)
            return Place(site, self._visitors.owned(client), self._shard_of(client), False)
        else:
            client = client_of(site.name, sender.client.address.hashed, sender.user_agent)
        return Place(site, self._visitors.of(client, arrival.received_ms), self._shard_of(client), is_anonymous)

    def _shard_of(self, client: bytes) -> int:
        return shard_of(client, self._shard_key, self._shards)

    def _reject(self, item: Event | Reason, reason: Reason) -> None:
        """Counts an event under the site that we know, and notes it under the site that it names, for `forebay site list`."""
        name = ""
        if isinstance(item, Event):
            location = located(item.url) if item.url and not item.site else None
            name = item.site or (location.host if location else "")
        site = self._sites.resolve(name)
        self._counters.rejected(site.name if site else "", reason)
        self._rejections.note(site.name if site else site_name(name), reason.value)


def _answered(answer: Answer, cors: Pairs, dialect: Dialect, rows: list[tuple[int, Row]], size: int) -> Collected:
    headers = cors + answer.headers if answer.headers else cors
    return Collected(answer.status, headers, answer.body, rows, dialect.route, size, dialect, cors)


def _log(error: Exception) -> None:
    """Logs the kind of an error and its place, never its text, which can hold a piece of the body."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else "nowhere"
    logger.error("a request failed: %s in %s", type(error).__name__, where)
