"""Turns a seed into requests: realistic native events, each with the moment at which it should be sent.

A crowd of visitors walks through a small web. A visitor has an address, a browser, a language and a screen, opens a
page of one site and follows a few more; when it leaves, a new one takes its place. Sites and pages are drawn from Zipf
distributions, so that the server's caches and ClickHouse's dictionaries meet a head and a long tail. A visitor's
headers are made once, because they are the larger half of a request.

It is pure: the same `Plan` gives the same requests, byte for byte. Ids come from the seed *and* the run, because a
server that deduplicates would take a second run with the same ids for retries.

Not promised: visits of a real length in time. A visit lasts until its pages are used up.
"""

from __future__ import annotations

import random
from bisect import bisect
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate, chain, repeat
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import quote

import msgspec

from loadtest.load import corpus

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PAGES_PER_SITE = 400
VISIT_PAGES_MEAN = 4
VISITORS_MAX = 20_000  # 0.6 kB each
EVENTS_PER_VISITOR = 8  # makes the crowd so large that each of its places sees two visits
URL_BYTES_MAX = 1_900  # under the server's 2 048, because a page's own path comes before it
VARIANTS = 64  # of engagements and vitals
REQUEST_BYTES = 200  # in memory, beside body and ids: tuple, float, list and the heads of three objects
AHEAD_S = 60  # the most of a run that is made ahead: a soak test must not wait for all its hours
ID_BYTES = 93  # in memory: a string of 36 characters and its place in a list

# Cumulative shares of the kinds of events; the rest are pageviews.
SHARE_ENGAGEMENT = 0.10
SHARE_CUSTOM = 0.16
SHARE_VITALS = 0.18
SHARE_LATE = 0.01  # of the events: those of a phone that slept, or of a tab that was suspended
SHARE_CAMPAIGN = 0.25  # of the entry pages
SHARE_LONG_URL = 0.01
SHARE_IPV6 = 0.2
SHARE_ENCODED = 0.7  # of the paths: browsers percent-encode, SDKs send what they were given
LATE_S = (60, 600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Holds all that decides which requests there will be."""

    rate: float  # events per second, whatever the number of them in a body
    duration_s: float
    bodies: tuple[tuple[int, float], ...] = ((1, 1.0),)  # (events in a body, share of the bodies)
    stages: tuple[tuple[float, float], ...] = ((1.0, 1.0),)  # (share of the duration, factor on the rate), in order
    arrivals: Literal["poisson", "fixed"] = "poisson"
    sites: tuple[str, ...] = ("demo",)
    seed: int = 1
    run: str = ""
    base_ms: int = 0  # unix time of offset 0, for the few events that carry a time

    @property
    def events_per_body(self) -> float:
        """Returns the mean number of events in a body."""
        return sum(size * share for size, share in self.bodies) / sum(share for _, share in self.bodies)

    @property
    def rate_mean(self) -> float:
        """Returns the mean of events per second over the whole duration."""
        shares = sum(share for share, _ in self.stages)
        return self.rate * sum(share * factor for share, factor in self.stages) / shares

    def spans(self) -> Iterator[tuple[float, float, float]]:
        """Yields the stages as (from, until, events per second), in seconds."""
        shares = sum(share for share, _ in self.stages)
        at = 0.0
        for share, factor in self.stages:
            until = at + share / shares * self.duration_s
            yield at, until, self.rate * factor
            at = until


class Request(NamedTuple):
    """Holds one POST: when it is sent, its bytes, and which events it carries."""

    at: float  # seconds after the start at which it is to be sent
    body: bytes
    headers: bytes  # complete lines of the client's own headers, CRLF included
    ids: list[str]


class Page(NamedTuple):
    url: str
    title: str


class Site(NamedTuple):
    name: str
    host: str
    pages: list[Page]
    popularity: list[float]


@dataclass(slots=True)
class Visitor:
    """Holds one browser on one site, and where it is in its visit."""

    headers: bytes
    site: Site
    language: str
    screen: tuple[int, int]
    pages_left: int
    came_from: str  # the referrer of the next page; empty when direct
    is_entering: bool = True


def requests(plan: Plan) -> Iterator[Request]:
    """Returns the requests of a plan, in the order of their offsets. The crowd is made before the first is asked for."""
    return _requests(plan, Crowd(plan))


def _requests(plan: Plan, crowd: Crowd) -> Iterator[Request]:
    ids = unique_ids(plan)
    encode = msgspec.json.Encoder().encode
    sizes = body_sizes(plan)
    for at in arrivals(plan):
        visitor = crowd.someone()
        size = next(sizes)
        if size == 1:
            name = next(ids)
            yield Request(at, encode(crowd.event(visitor, name, at)), visitor.headers, [name])
            continue
        names = [next(ids) for _ in range(size)]
        events = [crowd.event(visitor, name, at) for name in names]
        yield Request(at, encode(events), visitor.headers, names)


def arrivals(plan: Plan) -> Iterator[float]:
    """Yields offsets in seconds below the plan's duration: those of a clock, or of a Poisson process of that rate."""
    rng = random.Random(f"arrivals {plan.seed}")
    for from_s, until_s, events_per_s in plan.spans():
        per_s = events_per_s / plan.events_per_body
        if per_s <= 0:
            continue
        if plan.arrivals == "fixed":
            count = round((until_s - from_s) * per_s)
            yield from (from_s + number / per_s for number in range(count))
            continue
        at = from_s + rng.expovariate(per_s)  # a Poisson process has no memory: each span begins anew
        while at < until_s:
            yield at
            at += rng.expovariate(per_s)


def body_sizes(plan: Plan) -> Iterator[int]:
    """Yields how many events each body carries, without end."""
    if len(plan.bodies) == 1:
        yield from repeat(plan.bodies[0][0])
    sizes = [size for size, _ in plan.bodies]
    shares = list(accumulate(share for _, share in plan.bodies))
    rng = random.Random(f"sizes {plan.seed}")
    while True:
        yield sizes[_draw(shares, rng)]


def ahead(stream: Iterator[Request], bytes_max: int) -> tuple[int, Iterator[Request]]:
    """Makes requests before they are needed; returns how many it made, and all requests with these in front.

    It makes a minute of them, or as many as fit into so much memory. Making a request takes a sixth of the time that
    sending it does; once they are made, all the time of the run is for sending.
    """
    made: list[Request] = []
    room = bytes_max
    for request in stream:
        made.append(request)
        room -= REQUEST_BYTES + len(request.body) + ID_BYTES * len(request.ids)
        if room <= 0 or request.at > AHEAD_S:
            break
    made.reverse()
    return len(made), chain(_taken(made), stream)


def _taken(made: list[Request]) -> Iterator[Request]:
    """Yields requests from the end of the list, and gives their memory back on the way."""
    while made:
        yield made.pop()


def unique_ids(plan: Plan) -> Iterator[str]:
    """Yields UUIDs (version 4) as crypto.randomUUID() makes them: 122 random bits, so no two are alike.

    They are random on purpose: a counter would compress in Redis and ClickHouse as no client's ids do.
    """
    rng = random.Random(f"ids {plan.seed} {plan.run}")
    while True:
        digits = rng.randbytes(16).hex()
        variant = "89ab"[int(digits[16], 16) & 3]
        yield f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


class Crowd:
    """Holds the visitors who are there now, and decides what they do next."""

    def __init__(self, plan: Plan) -> None:
        self._rng = random.Random(f"crowd {plan.seed}")
        self._base_ms = plan.base_ms
        self._sites = [site(name, self._rng) for name in plan.sites]
        self._shares = zipf(len(self._sites))
        self._browsers = list(accumulate(weight for _, weight, _ in corpus.USER_AGENTS))
        self._languages = list(accumulate(weight for _, weight in corpus.LANGUAGES))
        self._referrers = list(accumulate(weight for _, weight in corpus.REFERRERS))
        self._engagements = [_engagement(self._rng) for _ in range(VARIANTS)]
        self._vitals = [_vitals(self._rng) for _ in range(VARIANTS)]
        expected = plan.rate_mean * plan.duration_s / plan.events_per_body
        size = max(1, min(VISITORS_MAX, int(expected / EVENTS_PER_VISITOR)))
        self._visitors = [self._arriving() for _ in range(size)]

    def someone(self) -> Visitor:
        """Returns the visitor who sends the next request."""
        number = int(self._rng.random() * len(self._visitors))
        visitor = self._visitors[number]
        if visitor.pages_left <= 0:
            visitor = self._visitors[number] = self._arriving()
        return visitor

    def event(self, visitor: Visitor, name: str, at: float) -> dict[str, Any]:
        """Returns the visitor's next event under that id, as the client would send it, and moves the visitor on."""
        rng = self._rng
        where = visitor.site
        page = where.pages[_draw(where.popularity, rng)]
        url = page.url
        if visitor.is_entering:
            url += self._query()
            visitor.is_entering = False
        event: dict[str, Any] = {
            "id": name,
            "site": where.name,
            "url": url,
            "title": page.title,
            "language": visitor.language,
            "screen": visitor.screen,
        }
        if visitor.came_from:
            event["referrer"] = visitor.came_from
        kind = rng.random()
        if kind < SHARE_ENGAGEMENT:
            event.update(rng.choice(self._engagements))
        elif kind < SHARE_CUSTOM:
            event.update(rng.choice(corpus.CUSTOM_EVENTS))
        elif kind < SHARE_VITALS:
            event.update(rng.choice(self._vitals))
        if rng.random() < SHARE_LATE:
            event["ts"] = self._late(at)
        visitor.came_from = page.url
        visitor.pages_left -= 1
        return event

    def _arriving(self) -> Visitor:
        rng = self._rng
        agent, _, is_touch = corpus.USER_AGENTS[_draw(self._browsers, rng)]
        language = corpus.LANGUAGES[_draw(self._languages, rng)][0]
        screen = rng.choice(corpus.SCREENS_TOUCH if is_touch else corpus.SCREENS)
        where = self._sites[_draw(self._shares, rng)]
        # A beacon is text/plain, so that it needs no preflight; fetch() and SDKs say JSON.
        media = "text/plain" if rng.random() < 0.7 else "application/json"
        headers = (
            f"User-Agent: {agent}\r\nContent-Type: {media}\r\nOrigin: https://{where.host}\r\n"
            f"Accept-Language: {language}\r\nX-Forwarded-For: {_address(rng)}\r\n"
        )
        return Visitor(
            headers=headers.encode("ascii"),
            site=where,
            language=language,
            screen=screen,
            pages_left=1 + int(rng.expovariate(1 / (VISIT_PAGES_MEAN - 1))),
            came_from=corpus.REFERRERS[_draw(self._referrers, rng)][0],
        )

    def _query(self) -> str:
        """Returns the query string of an entry page, most often none."""
        rng = self._rng
        chance = rng.random()
        if chance >= SHARE_CAMPAIGN:
            return ""
        query = rng.choice(corpus.CAMPAIGNS).format(rng.randbytes(24).hex())
        if chance < SHARE_LONG_URL:
            room = URL_BYTES_MAX - 300 - len(query)
            query += "&state=" + rng.randbytes(rng.randrange(200, room) // 2).hex()
        return f"?{query}"

    def _late(self, at: float) -> int | str:
        """Returns a moment some minutes ago, in one of the two forms of `ts` (docs/events.md)."""
        moment_ms = self._base_ms + int(at * 1000) - self._rng.randrange(*LATE_S) * 1000
        if self._rng.random() < 0.5:
            return moment_ms
        return datetime.fromtimestamp(moment_ms / 1000, UTC).isoformat()


def site(name: str, rng: random.Random) -> Site:
    """Makes a site's pages; a name without a dot gets a host that is reserved for examples."""
    host = (name if "." in name else f"{name}.example").encode("idna").decode()  # as browsers spell it
    pages = [_page(name, host, number, rng) for number in range(PAGES_PER_SITE)]
    return Site(name, host, pages, zipf(len(pages)))


def zipf(count: int, exponent: float = 1.05) -> list[float]:
    """Returns the cumulative weights of ranks 1 to `count`."""
    return list(accumulate(1 / rank**exponent for rank in range(1, count + 1)))


def _page(name: str, host: str, number: int, rng: random.Random) -> Page:
    # Two of three pages speak English: the first word list.
    words = corpus.WORDS[0] if rng.random() < 0.66 else rng.choice(corpus.WORDS)
    title = " ".join(rng.choices(words, k=rng.randrange(2, 7))).capitalize()
    path = "/".join(rng.choices(words, k=rng.randrange(1, 4))).replace(" ", "-").replace("%", "")
    if rng.random() < SHARE_ENCODED:
        path = quote(path)
    url = f"https://{host}/" + (f"{path}-{number}" if number else "")
    return Page(url, f"{title} · {name}")


def _engagement(rng: random.Random) -> dict[str, Any]:
    engaged_ms = int(rng.lognormvariate(9.5, 1.0))  # 13 s at the median
    return {"name": "engagement", "engaged_ms": engaged_ms, "scroll_pct": rng.randrange(0, 101)}


def _vitals(rng: random.Random) -> dict[str, Any]:
    timings = {key: round(rng.lognormvariate(6.5, 0.6), 1) for key in ("lcp", "inp", "fcp", "ttfb")}
    return {"name": "vitals", "vitals": timings | {"cls": round(rng.random() ** 4, 4)}}


def _address(rng: random.Random) -> str:
    """Returns an address as the open internet has them, which no server takes for its own proxy."""
    if rng.random() < SHARE_IPV6:
        digits = rng.randbytes(8).hex()
        return f"2a02:8109:{digits[:4]}:{digits[4:8]}::{digits[8:12]}:{digits[12:]}"
    first = rng.choice((3, 5, 24, 31, 46, 62, 77, 81, 91, 109, 134, 151, 178, 185, 201, 213))
    low = rng.getrandbits(24)
    return f"{first}.{low >> 16}.{low >> 8 & 255}.{low & 255}"


def _draw(cumulative: Sequence[float], rng: random.Random) -> int:
    """Draws an index by cumulative weights, and never the one after the last."""
    return bisect(cumulative, rng.random() * cumulative[-1], 0, len(cumulative) - 1)
