"""Judges the events of a commit, and fills the columns of their rows, step by step.

`STEPS` is executed as it stands, from the first to the last, and each step sees whole columns (events.py). A step
rejects the events that it finds at fault; they leave before the next step, and cost no neighbour. A rule is here once:
a step looks at a column as a whole, and at its single values only if there is something in it to judge or to change.

    address    where the page is; an event needs a URL or a site
    texts      name, title and ids, within their lengths
    place      the site, whether it wants the event (Sec-GPC, DNT, addresses, countries), its visitor and its shard
    limit      whether the site, and the client, may send so many events
    page       what the site keeps of the URL, and whether it leaves this page out
    time       the event's moment, by the client's clock
    session    the session that an SDK numbers itself
    money      the revenue, exactly
    referrer   what is kept of the referrer, and whether it is the site itself
    screen     its width and height
    reading    how long and how deep a page was read
    props      custom properties as text
    vitals     web vitals
    agent      what the head says of the software that sent it, and where the client is

The last step is `judge` of suspicion.py, which adds to the reasons of an agent those of the event, and decides on `bot`.

A new enrichment is one function and one line of `STEPS`, and its columns in schemas/columns.py. Events that came with a server
key have one step more, behind `address`, which reads their `ip` and `user_agent` (named_senders.py); without a key these two are read by no
step.

Not promised: that a step can run without those before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from ingest.agents.agent import Agent
from ingest.collect.events import Events
from ingest.collect.language import Languages
from ingest.collect.named_senders import AGE_MS_MAX
from ingest.collect.places import NOWHERE, Place, Places
from ingest.collect.session import began_ms, name_in_site
from ingest.collect.url import NOWHERE as NO_LOCATION
from ingest.collect.url import Location, kept_all, located_all, referring_all
from ingest.dialects.event import PAGEVIEW, VITALS, event_ms, flatten, identity, revenue_e4
from ingest.fates import Reason
from schemas.acts import IDENTITIES
from schemas.row import INTERNAL

UINT16_MAX, UINT32_MAX = 65_535, 4_294_967_295
PERCENT_MAX = 100
VITAL_MAX = 1e9  # 11 days in milliseconds; what the table holds, Float32, ends at 1e38
NO_PROPS: dict[str, str] = {}  # one object: an entry's column of them is recognised at once
NO_VITALS: dict[str, float] = {}
NO_PIXELS = (0, 0)
LANGUAGES = Languages()

Step = Callable[[Events, Places], None]


def address(events: Events, _: Places) -> None:
    urls, sites = events.said.url, events.said.site
    found: list[Location | None] = located_all(urls)
    if not all(urls):
        found = [NO_LOCATION if site and not url else one for one, url, site in zip(found, urls, sites, strict=True)]
    events.location = found
    if all(found) and all(location.host for location in found if location):
        return
    for at, (location, url, site) in enumerate(zip(found, urls, sites, strict=True)):
        if not url and not site:
            events.reject((at,), Reason.MISSING_URL)
        elif location is None or not (location.host or site):
            events.reject((at,), Reason.INVALID_URL)


def texts(events: Events, _: Places) -> None:
    said, row, limits = events.said, events.row, events.dialect.limits
    names = row["name"] = [PAGEVIEW if name is None else name for name in said.name]
    long = {name for name in set(names) if len(name) > limits.name_chars_max}
    if long:
        events.reject((at for at, name in enumerate(names) if name in long), Reason.NAME_TOO_LONG)
    blank = {name for name in set(names) if not name.strip()}
    if blank:
        events.reject((at for at, name in enumerate(names) if name in blank), Reason.INVALID_NAME)
    titles = _text(said.title)
    most = limits.field_chars_max
    # A title's end is no reason to lose an event: it is cut.
    row["title"] = titles if max(map(len, titles)) <= most else [title[:most] for title in titles]
    languages = _short(events, said.language)
    row["language"] = [LANGUAGES[one] for one in languages] if any(languages) else languages
    ids = _short(events, said.id)
    row["event_id"] = [identity(one) for one in ids] if any(ids) else ids
    row["user_id"] = _short(events, said.user)
    _short(events, said.visitor)
    _short(events, said.session)


def _short(events: Events, said: Sequence[str | None]) -> list[str]:
    """Returns the texts of a column, and rejects the events whose text is too long for an id."""
    found, most = _text(said), events.dialect.limits.id_chars_max
    if max(map(len, found)) > most:
        events.reject((at for at, one in enumerate(found) if len(one) > most), Reason.FIELD_TOO_LONG)
    return found


def place(events: Events, places: Places) -> None:
    """Finds the site, the visitor and the shard of each event, and rejects what a site does not take. Raises SaltMissing."""
    said, row = events.said, events.row
    names = [
        site or (location.host if location else "") for site, location in zip(said.site, events.location, strict=True)
    ]
    owned: Sequence[str | None] = [None] * len(events)
    if events.dialect.owns_visitors or events.have_key:
        owned = [visitor or None for visitor in said.visitor]
    # Most events of a request share their place.
    keys: list[tuple[Any, ...]] = list(
        zip(events.owner, names, owned, *([events.sender] * events.have_key), strict=True)
    )
    find: Callable[..., Place | Reason] = places.with_key if events.have_key else places.of
    found = {key: find(*key) for key in dict.fromkeys(keys)}
    refused = {key: one for key, one in found.items() if isinstance(one, Reason)}
    if refused:
        for at, key in enumerate(keys):
            if key in refused:
                events.reject((at,), refused[key])
    fit = {key: NOWHERE if isinstance(one, Reason) else one for key, one in found.items()}
    events.place = [fit[key] for key in keys]
    _, row["site"], row["url_flags"], row["visitor_id"], row["visitor_before"], _, hidden, _, _ = zip(
        *events.place, strict=True
    )
    events.is_hidden = hidden
    row["session_id"] = [0] * len(events)
    if any(hidden):
        row["user_id"] = ["" if is_hidden else user for is_hidden, user in zip(hidden, row["user_id"], strict=True)]


def limit(events: Events, places: Places) -> None:
    """Refuses of each request all events of a site, or none (limiter.py)."""
    if places.sites.have_limits:
        for refused in places.limiter.judge(events.owner, events.place):
            events.reject(refused, Reason.RATE_LIMITED)


def page(events: Events, places: Places) -> None:
    urls = kept_all(events.location, events.row["url_flags"], events.dialect.limits.url_bytes_max)
    events.row["url"] = urls
    if None in urls:
        events.reject((at for at, url in enumerate(urls) if url is None), Reason.URL_TOO_LONG)
    if places.sites.leave_out_pages:
        _leave_out(events, urls)


def _leave_out(events: Events, urls: Sequence[str | None]) -> None:
    for at, (place, location, url) in enumerate(zip(events.place, events.location, urls, strict=True)):
        rules = place.site.pages
        if rules is not None and (reason := rules.judge(location.host if location else "", url or "")):
            events.reject((at,), reason)


def time(events: Events, _: Places) -> None:
    said, row = events.said, events.row
    received = row["received_at"] = [owner.received_ms for owner in events.owner]
    row["ts"] = received
    if said.ts.count(None) == len(events):
        return
    limits = events.dialect.limits
    if events.have_key:
        limits = replace(limits, age_ms_max=AGE_MS_MAX)
    moments = [
        now if ts is None else event_ms(ts, sent_at, now, limits)
        for ts, sent_at, now in zip(said.ts, said.sent_at, received, strict=True)
    ]
    row["ts"] = moments
    if any(row["visitor_before"]):
        _own_days(events, moments)
    for at, moment in enumerate(moments):
        if not isinstance(moment, int):  # to ask for a Reason takes six times as long
            events.reject((at,), moment)


def _own_days(events: Events, moments: Sequence[int | Reason]) -> None:
    """Gives what happened before its site's midnight the visitor of that day, and the new day's as `visitor_before`."""
    row = events.row
    row["visitor_id"], row["visitor_before"] = zip(
        *[
            (before, visitor)
            if before and not isinstance(moment, Reason) and moment < place.day_ms
            else (visitor, before)
            for visitor, before, moment, place in zip(
                row["visitor_id"], row["visitor_before"], moments, events.place, strict=True
            )
        ],
        strict=True,
    )


def session(events: Events, places: Places) -> None:
    """Takes over the sessions that an SDK, or a server with a key, numbers and that say when they began."""
    said, row = events.said.session, events.row
    if not any(said) or not (events.dialect.owns_visitors or events.have_key):
        return
    known: dict[tuple[str, int, str], int] = {}  # most events of a batch share their session
    found = row["session_id"] = [0] * len(events)
    for at, (one, hidden, place, visitor, moment) in enumerate(
        zip(said, events.is_hidden, events.place, row["visitor_id"], row["ts"], strict=True)
    ):
        if not one or hidden or (start_ms := began_ms(one, moment)) is None:
            continue
        key = (place.name, visitor, one)
        number = known.get(key)
        if number is None:
            number = known[key] = places.session_id(place, name_in_site(one, visitor), start_ms)
        found[at] = number


def money(events: Events, _: Places) -> None:
    revenues, row = events.said.revenue, events.row
    if revenues.count(None) == len(events):
        row["revenue_e4"], row["currency"] = [0] * len(events), [""] * len(events)
        return
    if not events.have_key and any(place.site.revenue_needs_key for place in events.place):
        needing = enumerate(zip(events.place, revenues, strict=True))
        bare = [at for at, (place, revenue) in needing if revenue is not None and place.site.revenue_needs_key]
        events.reject(bare, Reason.REVENUE_NEEDS_KEY)
    amounts = [0 if revenue is None else revenue_e4(revenue) for revenue in revenues]
    row["revenue_e4"] = amounts
    row["currency"] = ["" if revenue is None else revenue.currency.upper() for revenue in revenues]
    if None in amounts:
        events.reject((at for at, amount in enumerate(amounts) if amount is None), Reason.INVALID_REVENUE)


def referrer(events: Events, places: Places) -> None:
    said, row = _text(events.said.referrer), events.row
    if not any(said):
        row["referrer_url"] = events.referrer_host = said
        return
    hosts, row["referrer_url"] = zip(*referring_all(said, events.dialect.limits.url_bytes_max), strict=True)
    events.referrer_host = hosts
    row["url_flags"] = [
        flags | INTERNAL
        if host and ((location and host == location.host) or places.sites.is_own(place.site, host))
        else flags
        for host, place, location, flags in zip(hosts, events.place, events.location, row["url_flags"], strict=True)
    ]


def screen(events: Events, _: Places) -> None:
    said, row = events.said.screen, events.row
    if said.count(None) == len(events):
        row["screen_w"] = row["screen_h"] = [0] * len(events)
        return
    widths, heights = zip(*[one or NO_PIXELS for one in said], strict=True)
    row["screen_w"] = within(widths, UINT16_MAX)
    row["screen_h"] = within(heights, UINT16_MAX)


def reading(events: Events, _: Places) -> None:
    said, row = events.said, events.row
    for name, column, most in (
        ("engaged_ms", said.engaged_ms, UINT32_MAX),
        ("scroll_pct", said.scroll_pct, PERCENT_MAX),
    ):
        is_silent = column.count(None) == len(events)
        row[name] = [0] * len(events) if is_silent else within([value or 0 for value in column], most)


def props(events: Events, _: Places) -> None:
    """Counts the properties that a row can't hold. Of who an anonymous visitor is, none is kept: they name the person."""
    limits, hidden, names = events.dialect.limits, events.is_hidden, events.row["name"]
    found = [NO_PROPS] * len(events)
    last: Any = None
    kept, dropped = NO_PROPS, 0
    for at, said in enumerate(events.said.props):
        if said and not (hidden[at] and names[at] in IDENTITIES):
            if said is not last:  # a dialect may give all events of a kind the same object
                assert isinstance(said, dict)  # an array is empty (ingest/dialects/event.py)
                last, (kept, dropped) = said, flatten(said, limits)
            found[at] = kept
            events.properties_dropped += dropped
    events.row["props"] = found


def vitals(events: Events, _: Places) -> None:
    """Counts the vitals that a row can't hold, as properties."""
    found = [NO_VITALS] * len(events)
    for at, said in enumerate(events.said.vitals):
        if said:
            assert isinstance(said, dict)  # as for props
            measured = {name: value for name, value in said.items() if value is not None}
            fit = {name: value for name, value in measured.items() if name in VITALS and 0 <= value < VITAL_MAX}
            found[at] = fit
            events.properties_dropped += len(measured) - len(fit)
    events.row["vitals"] = found


def agent(events: Events, _: Places) -> None:
    row, count = events.row, len(events)
    # The collector found all of them, or the events name them.
    senders = events.sender or [sender for owner in events.owner if (sender := owner.asked.sender)]
    row.update(zip(Agent._fields, zip(*[sender.agent for sender in senders], strict=True), strict=True))
    row["country"], row["region"], row["city"] = zip(*[sender.where for sender in senders], strict=True)
    row["dialect"] = [events.dialect.name] * count


STEPS: tuple[Step, ...] = (
    address, texts, place, limit, page, time, session, money, referrer, screen, reading, props, vitals, agent,
)  # fmt: skip


def within(values: Sequence[float], most: int) -> list[int]:
    """Returns whole numbers from 0 to `most`: ClickHouse lets larger ones wrap around in silence."""
    if min(values) >= 0 and max(values) <= most:
        return list(map(int, values))
    return [0 if not value > 0 else most if value >= most else int(value) for value in values]


def _text(said: Sequence[str | None]) -> list[str]:
    """Returns a column in which what was not said is empty."""
    return [one or "" for one in said] if any(said) else [""] * len(said)
