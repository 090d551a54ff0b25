"""Says what the events of Amplitude's clients are here: the vocabulary of the family, and nothing of its bodies (amplitude.py).

    [Amplitude] Page Viewed     pageview
    [Amplitude] Screen Viewed   pageview of app://app/SCREEN
    [Amplitude] Web Vitals      vitals
    [Amplitude] File Downloaded    File Download
    [Amplitude] Form Submitted  Form: Submission
    $identify                   identify, with the person's properties; not kept without a user id; group, if it puts
                                the person into groups
    $groupidentify              group
    session_start, session_end, and any other name with $ or [Amplitude]    is not kept, and is counted by its name
    revenue_amount, and any other name    itself

Money is price × quantity, or `revenue` where there is no price; a `revenueType` that is a refund makes it negative. Both
stand on the event (HTTP API) or, with a $, among its properties (SDKs).

Not promised: properties of a person beside other events.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from ingest.dialects.contract import Item, Unsupported
from ingest.dialects.event import PAGEVIEW, Event, Revenue, is_decimal
from ingest.dialects.vocabulary import (
    DOWNLOAD,
    FORM,
    GROUP,
    IDENTIFY,
    ORIGINAL,
    VITALS_NAME,
    is_number,
    money,
    refunded,
    screen_url,
)
from ingest.fates import Reason

Properties = dict[str, Any]
Text = str | int | float | None

FAMILY = "amplitude"
SCREEN = "[Amplitude] Screen Viewed"
NAMES = {
    "[Amplitude] Page Viewed": PAGEVIEW,
    "Page View": PAGEVIEW,  # of analytics-browser 1.x
    SCREEN: PAGEVIEW,
    "[Amplitude] Web Vitals": VITALS_NAME,
    "[Amplitude] File Downloaded": DOWNLOAD,
    "[Amplitude] Form Submitted": FORM,
    "$identify": IDENTIFY,
    "$groupidentify": GROUP,
}
# Visits begin and end by our own rule, so these would only add an event to each visit, and no visit would be a bounce.
SESSIONS = frozenset(("session_start", "session_end"))
MEASURED = "[Amplitude] "  # the names of everything that the SDK measures by itself begin so
UNSET = frozenset(("", "EMPTY", "-"))
NO_SESSION = frozenset((-1, "-1", ""))
REMOTE = "$remote"  # as an address: that from which the request comes
# What the page's URL says too, under the names of campaigns.
COPIES = frozenset(
    (
        "utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term", "utm_id", "referrer", "referring_domain",
        "dclid", "gbraid", "gclid", "fbclid", "ko_click_id", "li_fat_id", "msclkid", "rdt_cid", "ttclid", "twclid", "wbraid",
    )
)  # fmt: skip
# What analytics-browser says of the page of each event. To look a name up here is quicker than to look at its beginning.
LOCATION, ADDRESS, TITLE, BEFORE = (
    f"{MEASURED}{name}" for name in ("Page Location", "Page URL", "Page Title", "Previous Page Location")
)
MEANT = COPIES.union(
    (LOCATION, ADDRESS, TITLE, BEFORE),
    (
        f"{MEASURED}{name}"
        for name in ("Page Domain", "Page Path", "Page View ID", "Page Counter", "Previous Page Type")
    ),
)
MONEY = frozenset(("$revenue", "$currency", "revenue", "currency"))
OF_MONEY = frozenset(("$price", "$revenue", "revenue"))
ZERO = "00000000-0000-0000-0000-000000000000"
# Ids that apps send for want of one, which Amplitude takes for none.
NOBODY = frozenset(
    (
        "anonymous", "nil", "none", "null", "n/a", "na", "undefined", "unknown", "unset", "false", "true", "0", "-1", "{}", "[]",
        "lmy47d", ZERO,
    )
)  # fmt: skip
WORD_CHARS_MAX = max(map(len, NOBODY - {ZERO}))
VITALS = {f"{MEASURED}{name.upper()}": name for name in ("lcp", "inp", "cls", "fcp", "ttfb")}


class Said(msgspec.Struct, gc=False):
    """Holds an event as clients write it. `timestamp` and `uuid` are those of clients before 2020, for `time` and `insert_id`."""

    event_type: str | None = None
    user_id: Text = None
    device_id: Text = None
    session_id: Text = None
    time: Text = None
    timestamp: Text = None
    insert_id: str | None = None
    uuid: str | None = None
    event_properties: Any = None
    user_properties: Any = None
    groups: Any = None
    group_properties: Any = None
    language: Any = None
    ip: Any = None
    user_agent: Any = None
    price: Any = None
    quantity: Any = None
    revenue: Any = None
    revenue_type: Any = msgspec.field(name="revenueType", default=None)
    currency: Any = None
    product_id: Any = msgspec.field(name="productId", default=None)


def item_of(said: Said, site: str, sent_at: Text) -> Item:
    """Returns what an event of a client is: an event, or why it is none. `sent_at` is the client's clock when it sent it."""
    name = said.event_type
    if not name:
        return Reason.NOT_AN_EVENT
    ours = NAMES.get(name)
    if ours is None:
        if name in SESSIONS or name[0] == "$" or name.startswith(MEASURED):
            return Unsupported.named(name)
        ours = name
    found = said.event_properties
    if type(found) is not dict:
        found = {}
    event = _event(said, ours, found, site, sent_at)
    if ours is name:
        return event
    if ours is IDENTIFY or ours is GROUP:
        return _about_people(event, said, name)
    props = event.props if type(event.props) is dict else {}
    props[ORIGINAL] = name
    event.props = props
    if name == SCREEN:
        screen = _text(found.get(f"{MEASURED}Screen Name"))
        event.url = event.url or (screen_url("", screen) if screen else None)
        event.title = event.title or screen
    elif ours is VITALS_NAME:
        event.vitals = _vitals(found)
    elif ours is DOWNLOAD:
        props["url"] = found.get(f"{MEASURED}Link URL")
    elif ours is FORM:
        props["path"] = found.get(f"{MEASURED}Page Path")
        props["form"] = found.get(f"{MEASURED}Form ID") or found.get(f"{MEASURED}Form Name")
    return event


def _event(said: Said, name: str, found: Properties, site: str, sent_at: Text) -> Event:
    user, device, session = _id(said.user_id), _id(said.device_id), said.session_id
    url, referrer, title = _page(found)
    ts = said.time if said.time is not None else said.timestamp
    props = {} if MEANT.issuperset(found) else _own(found)  # of most pageviews it is
    revenue = None
    if said.price is not None or said.revenue is not None or not OF_MONEY.isdisjoint(found):
        revenue = _revenue(said, found)
    if revenue is not None:
        for key in MONEY & props.keys():
            del props[key]
        if said.product_id:
            props["$productId"] = said.product_id
    if said.groups and type(said.groups) is dict:
        props["groups"] = said.groups
    event = Event(name=name, url=url, site=site, referrer=referrer)
    # To set a field costs a third of what it costs to name it in the call.
    event.title = title
    language, agent = said.language, said.user_agent
    event.language = language if type(language) is str and language not in UNSET else None
    event.user_agent = agent if type(agent) is str and agent not in UNSET else None
    if props:
        event.props = props
    event.revenue = revenue
    event.id = said.insert_id or said.uuid
    if ts is not None:
        event.ts = _moment(ts) if type(ts) is str else ts
        event.sent_at = _moment(sent_at) if type(sent_at) is str else sent_at
    event.user = user
    event.visitor = device or user
    if session is not None and session not in NO_SESSION:
        event.session = str(session)
    if said.ip != REMOTE:
        event.ip = _text(said.ip)
    return event


def _page(found: Properties) -> tuple[str | None, str | None, str | None]:
    """Returns a page's address, what led there, and its title."""
    get = found.get
    url, referrer, title = get(LOCATION), get(BEFORE), get(TITLE)
    if type(url) is not str or url in UNSET:
        url = _text(get(ADDRESS)) or _text(get("page_location"))
    if type(referrer) is not str or referrer in UNSET:
        referrer = _text(get("referrer"))
    return url, referrer, title if type(title) is str and title not in UNSET else None


def _own(found: Properties) -> Properties:
    """Returns the properties that a site gave an event by itself."""
    return {
        key: value
        for key, value in found.items()
        if value is not None and key not in MEANT and key[:12] != MEASURED
        if type(value) is not str or value not in UNSET
    }


def _about_people(event: Event, said: Said, name: str) -> Item:
    """Makes an event say who is who: `user` is the person, `visitor` the device, and props what is known of them."""
    groups = said.groups if type(said.groups) is dict else {}
    if event.name == GROUP or groups:
        event.name = GROUP
        traits = _traits(said.group_properties)
        if len(groups) == 1:
            [(kind, group)] = groups.items()
            event.props = {"group_type": kind, "group_id": group, **traits}
        else:
            event.props = {"groups": groups, **traits} if groups else traits
        return event
    if not event.user:
        return Unsupported.named(name)
    event.props = _traits(said.user_properties) or None
    return event


def _traits(said: Any) -> Properties:
    """Returns the properties that an operation sets; all of them, where there is no operation."""
    if type(said) is not dict:
        return {}
    found: Properties = {}
    for operation in (said.get("$setOnce"), said.get("$set")):
        if type(operation) is dict:
            found.update(operation)
    found.update({name: value for name, value in said.items() if name[:1] != "$"})
    return {
        name: value
        for name, value in found.items()
        if value is not None and (type(value) is not str or value not in UNSET)
        if name not in COPIES and name.removeprefix("initial_") not in COPIES
    }


def _revenue(said: Said, found: Properties) -> Revenue | None:
    """Returns the money of an event: of its properties with a $, else of the event itself, else of a property `revenue`."""
    get = found.get
    if "$price" in found or "$revenue" in found:
        amount = _amount(get("$price"), get("$quantity"), get("$revenue"))
        kind, currency = get("$revenueType"), get("$currency")
    elif said.price is not None or said.revenue is not None:
        amount = _amount(said.price, said.quantity, said.revenue)
        kind, currency = said.revenue_type, said.currency
    elif "revenue" in found:
        amount, kind, currency = get("revenue"), get("revenueType"), get("currency")
    else:
        return None
    revenue = money(amount, currency or said.currency)
    if revenue is not None and type(kind) is str and "refund" in kind.lower():
        return refunded(revenue)
    return revenue


def _amount(price: Any, quantity: Any, revenue: Any) -> Any:
    """Returns price × quantity, exactly as they were written; the revenue where there is no price, or it is no number."""
    if price is None or (quantity is None and revenue is not None):
        return revenue
    factors = (price, 1 if quantity is None else quantity)
    if not all(is_number(one) or (type(one) is str and is_decimal(one)) for one in factors):
        return revenue
    return str(Decimal(str(factors[0])) * Decimal(str(factors[1])))


def _vitals(found: Properties) -> dict[str, float | None]:
    """Returns the vitals; each is an object with a value, or the value itself."""
    vitals: dict[str, float | None] = {}
    for long, short in VITALS.items():
        value = found.get(long)
        if type(value) is dict:
            value = value.get("value")
        if is_number(value):
            vitals[short] = value
    return vitals


def _id(said: Text) -> str | None:
    """Returns an id as text, or None where an app says that it has none."""
    if said is None:
        return None
    text = said if type(said) is str else str(said)
    if len(text) > WORD_CHARS_MAX and text != ZERO:
        return text
    return None if not text or text.lower() in NOBODY else text


def _text(said: Any) -> str | None:
    return said if type(said) is str and said not in UNSET else None


def _moment(said: Text) -> Text:
    """Returns a moment: milliseconds that are written as text are a number."""
    if type(said) is str and said.isascii() and said.isdigit() and len(said) <= 18:
        return int(said)
    return said
