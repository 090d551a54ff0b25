"""Says what the messages of Segment's specification are here: the vocabulary of the family, and nothing of its bodies.

    page        pageview, of the page that its properties or its context name
    screen      pageview of app://NAMESPACE/SCREEN
    track       an event of the same name; its `revenue` is money, unless the order is not paid yet
    identify    identify, with the traits
    group       group, with `group_id` and the traits
    alias       alias: `user` is the new id, `visitor` the earlier one
    any other   is not kept, and is counted by its name

RudderStack, Jitsu, customer.io and Hightouch send the same messages. A browser numbers its visitors (`anonymousId`); a server
that names none means the person, who is the visitor then.

Not promised: a person's traits beside other messages (`context.traits`), and what `integrations` says of other receivers.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ingest.dialects.contract import Item, Unsupported
from ingest.dialects.event import PAGEVIEW, Event
from ingest.dialects.reading import Object, mapping, text
from ingest.dialects.vocabulary import ALIAS, GROUP, IDENTIFY, ORIGINAL, is_number, money, refunded, screen_url
from ingest.fates import Reason

Properties = dict[str, Any]
# Where these carry `revenue`, no money has come: the order is not paid, is said once more, or is not wanted any longer.
UNPAID = frozenset(
    ("Checkout Started", "Checkout Step Viewed", "Order Updated", "Order Cancelled", "Payment Info Entered")
)
REFUND = "Order Refunded"
ORDERS = frozenset(("Order Completed", REFUND))
# What a page says of its address. It has columns of its own.
PAGE = ("url", "path", "referrer", "search", "title")


class Page(msgspec.Struct, gc=False):
    """Holds the page on which something happened."""

    url: str | None = None
    referrer: str | None = None
    title: str | None = None


class App(msgspec.Struct, gc=False):
    """Holds the app whose screen it was."""

    name: str | None = None
    namespace: str | None = None


class Screen(msgspec.Struct, gc=False):
    """Holds the size of a screen."""

    width: Any = None
    height: Any = None


class Context(msgspec.Struct, gc=False):
    """Holds what a client knows of where something happened."""

    page: Page | None = None
    app: App | None = None
    screen: Screen | None = None
    locale: str | None = None
    ip: str | None = None
    user_agent: str | None = msgspec.field(name="userAgent", default=None)
    session: str | int | None = msgspec.field(name="sessionId", default=None)
    traits: Properties | None = None


class Said(msgspec.Struct, gc=False, rename="camel"):
    """Holds a message as clients write it."""

    type: str | None = None
    event: str | None = None
    name: str | None = None
    category: str | None = None
    properties: Properties | None = None
    traits: Properties | None = None
    context: Context | None = None
    message_id: str | None = None
    timestamp: str | int | float | None = None
    original_timestamp: str | int | float | None = None
    sent_at: str | int | float | None = None
    anonymous_id: str | int | float | None = None
    user_id: str | int | float | None = None
    group_id: str | int | float | None = None
    previous_id: str | int | float | None = None
    write_key: str | None = None


NO_CONTEXT, NO_PAGE = Context(), Page()


def item_of(said: Said, kind: str, site: str, sent_at: str | float | None) -> Item:
    """Returns what one message is: an event, or why it is none. `kind` is the type that its path says, for one without."""
    kind = said.type or kind
    make = KINDS.get(kind)
    if make is None:
        return Unsupported.named(kind) if kind else Reason.INVALID_FIELD
    context = said.context or NO_CONTEXT
    page = context.page or NO_PAGE
    user, visitor = _id(said.user_id), _id(said.anonymous_id)
    ts, screen = said.timestamp or said.original_timestamp, context.screen
    event = Event(
        url=page.url or None,
        site=site,
        referrer=page.referrer or None,
        title=page.title or None,
        language=context.locale or None,
        id=said.message_id,
        ts=ts,
        sent_at=(sent_at or said.sent_at) if ts is not None else None,
        user=user,
        visitor=visitor or user,
        session=_id(context.session),
        ip=context.ip or None,
        user_agent=context.user_agent or None,
    )
    if screen is not None and is_number(screen.width) and is_number(screen.height):
        event.screen = (screen.width, screen.height)
    return make(event, said, said.properties or {}) or event


def _id(said: str | float | None) -> str | None:
    """Returns an id as text: some write numbers. An empty one is none."""
    return said or None if type(said) is str or said is None else str(said)


def _page(event: Event, said: Said, found: Properties) -> Reason | None:
    """Makes a pageview: what its properties say of the page comes before what the context says."""
    event.name = PAGEVIEW
    event.url = text(found.get("url")) or event.url
    event.referrer = text(found.get("referrer")) or event.referrer
    event.title = text(found.get("title")) or event.title
    event.props = _named(said, {name: value for name, value in found.items() if name not in PAGE})
    return None


def _screen(event: Event, said: Said, found: Properties) -> Reason | None:
    """Makes a pageview of a screen of an app."""
    event.name = PAGEVIEW
    name = said.name or said.event
    if name:
        app = (said.context.app if said.context else None) or App()
        event.url = screen_url(app.namespace or app.name or "", name)
        event.title = name
    event.props = {ORIGINAL: "screen", **(_named(said, found) or {})}
    return None


def _named(said: Said, found: Properties) -> Properties | None:
    """Returns the properties of a page or screen with its name and category among them."""
    props = dict(found)
    for key, value in (("name", said.name), ("category", said.category)):
        if value is not None:
            props.setdefault(key, value)
    return props or None


def _track(event: Event, said: Said, found: Properties) -> Reason | None:
    """Makes an event of the site's own. An order counts with its `total` or `value`, if it names no `revenue`."""
    if said.event is None:
        return Reason.INVALID_FIELD
    event.name = name = said.event
    event.props = found or None
    amounts = ("revenue", "total", "value") if name in ORDERS else ("revenue",) if name not in UNPAID else ()
    key = next((key for key in amounts if found.get(key) is not None), None)
    revenue = money(found[key], found.get("currency")) if key else None
    if key is None or revenue is None:
        return None
    if name == REFUND:
        revenue = refunded(revenue)
    event.revenue = revenue
    event.props = {name: value for name, value in found.items() if name not in {key, "currency"}} or None
    return None


def _identify(event: Event, said: Said, _found: Properties) -> Reason | None:
    """Makes the person known. RudderStack writes the traits into the context."""
    event.name, event.props = IDENTIFY, said.traits or (said.context or NO_CONTEXT).traits or None
    return None


def _group(event: Event, said: Said, _found: Properties) -> Reason | None:
    group = _id(said.group_id)
    event.name = GROUP
    event.props = {"group_id": group, **(said.traits or {})} if group else said.traits or None
    return None


def _alias(event: Event, said: Said, _found: Properties) -> Reason | None:
    """Makes a person's new id known, with the earlier one, which may be a visitor's or a person's."""
    earlier = _id(said.previous_id)
    if earlier is None:
        return Reason.INVALID_FIELD
    event.name, event.visitor, event.props = ALIAS, earlier, {"previous_id": earlier}
    return None


KINDS = {"page": _page, "screen": _screen, "track": _track, "identify": _identify, "group": _group, "alias": _alias}


def loose(found: Any) -> Said | Reason:
    """Returns a message some of whose fields have the wrong types: without these, or with a number as text."""
    if not isinstance(found, dict):
        return Reason.NOT_AN_EVENT
    times = [found.get(name) for name in ("timestamp", "originalTimestamp", "sentAt")]
    if any(one is not None and type(one) is not str and not is_number(one) for one in times):
        return Reason.INVALID_FIELD
    get, context = found.get, mapping(found.get("context"))
    page, app, screen = mapping(context.get("page")), mapping(context.get("app")), mapping(context.get("screen"))
    return Said(
        type=text(get("type")),
        event=text(get("event")),
        name=text(get("name")),
        category=text(get("category")),
        properties=_own(get("properties")),
        traits=_own(get("traits")),
        context=Context(
            page=Page(text(page.get("url")), text(page.get("referrer")), text(page.get("title"))),
            app=App(text(app.get("name")), text(app.get("namespace"))),
            screen=Screen(screen.get("width"), screen.get("height")),
            locale=text(context.get("locale")),
            ip=text(context.get("ip")),
            user_agent=text(context.get("userAgent")),
            session=text(context.get("sessionId")),
            traits=_own(context.get("traits")),
        ),
        message_id=text(get("messageId")),
        timestamp=times[0],
        original_timestamp=times[1],
        sent_at=times[2],
        anonymous_id=text(get("anonymousId")),
        user_id=text(get("userId")),
        group_id=text(get("groupId")),
        previous_id=text(get("previousId")),
        write_key=text(get("writeKey")),
    )


def _own(said: Any) -> Object | None:
    return said if isinstance(said, dict) else None
