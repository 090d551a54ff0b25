"""Says what the events of Mixpanel's clients are here: the vocabulary of the family, and nothing of its bodies (mixpanel.py).

    $mp_web_page_view      pageview
    $mp_page_leave         engagement, with how deep the page was scrolled
    $mp_submit             Form: Submission
    $identify              identify
    $create_alias, $merge  alias
    $append of $transactions to a profile    charge, with its revenue: what `track_charge` sends
    any other name with $  is not kept, and is counted by its name; so is what else is said of profiles and groups
    any other name         itself

Mixpanel's SDKs have no field for money. A property `revenue` is money, and negative for a refund.

Not promised: what clients measure of the browser by themselves. The request's head says all of it too.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from itertools import filterfalse
from typing import Any

import msgspec

from ingest.dialects.contract import Item, Unsupported
from ingest.dialects.event import PAGEVIEW, Event, Revenue
from ingest.dialects.reading import NOTHING, Moment, moment_ms, string, text
from ingest.dialects.vocabulary import ALIAS, ENGAGEMENT, FORM, IDENTIFY, ORIGINAL, is_number, money
from ingest.fates import Reason

Properties = dict[str, Any]

FAMILY = "mixpanel"
NUMBERS = frozenset((int, float))
CHARGE = "charge"
NAMES = {
    "$mp_web_page_view": PAGEVIEW,
    "mp_page_view": PAGEVIEW,  # of clients before 2.45
    "$mp_page_leave": ENGAGEMENT,
    "$mp_submit": FORM,
    "$identify": IDENTIFY,
    "$create_alias": ALIAS,
    "$merge": ALIAS,
}
# What an event has kept that is called otherwise here and has no property of its own: the same object, so that it is judged once.
RENAMED: dict[str, Properties] = {name: {ORIGINAL: name} for name in NAMES}
DEVICE = "$device:"  # what an id begins with that is a device's, and nobody's
DIRECT = "$direct"  # the referrer of a visit without one
MEASURED = ("$", "mp_")  # how the names begin of what SDKs say by themselves, beside those below
# How those of these names begin that have no $ before them.
BARE = ("token", "distinct_id", "time", "ip", "current_page_", "current_domain", "current_url_", "utm_", "mp_")


class Known(msgspec.Struct, gc=False, rename=lambda name: name if name.startswith(BARE) else f"${name}"):
    """Holds the properties that browsers say of each event by themselves, in their order, in which they are found at once.

    Most are not read. They have their own place, or the request's head or the URL says them too.
    """

    os: Any = None
    browser: Any = None
    referrer: Any = None
    referring_domain: Any = None
    device: Any = None
    current_url: Any = None
    browser_version: Any = None
    screen_height: Any = None
    screen_width: Any = None
    mp_lib: Any = None
    lib_version: Any = None
    insert_id: Any = None
    time: Any = None
    utm_source: Any = None
    utm_medium: Any = None
    utm_campaign: Any = None
    utm_content: Any = None
    utm_term: Any = None
    distinct_id: Any = None
    device_id: Any = None
    initial_referrer: Any = None
    initial_referring_domain: Any = None
    search_engine: Any = None
    mp_keyword: Any = None
    user_id: Any = None
    current_page_title: Any = None
    current_domain: Any = None
    current_url_path: Any = None
    current_url_protocol: Any = None
    current_url_search: Any = None
    token: Any = None
    mp_sent_by_lib_version: Any = None
    ip: Any = None


class AllKnown(Known, gc=False, forbid_unknown_fields=True):
    """Holds the properties of an event that has no others."""


# What else is left out of an event's own properties.
MEANT = frozenset(Known.__struct_encode_fields__).union(
    (
        "utm_id", "utm_source_platform", "utm_campaign_id", "utm_creative_format", "utm_marketing_tactic", "dclid", "fbclid",
        "gclid", "ko_click_id", "li_fat_id", "msclkid", "sccid", "ttclid", "twclid", "wbraid", "gbraid",
    )
)  # fmt: skip
# What can be done to a profile, in the order in which it is looked for: a client sends one in a message.
OPERATIONS = ("$set", "$set_once", "$add", "$append", "$union", "$remove", "$unset", "$delete")


class Said(msgspec.Struct, gc=False):
    """Holds an event as clients write it."""

    event: str
    properties: Properties


class Plain(msgspec.Struct, gc=False):
    """Holds an event that says nothing but what clients say by themselves."""

    event: str
    properties: AllKnown


def items_of(said: Iterable[Said | Plain | Reason], key: str, sent_at: Moment) -> list[Item]:
    """Returns what the events of a client are: each an event, or why it is none.

    `key` is the site's, if an event does not name one; `sent_at` is the client's clock when it sent them.
    """
    items: list[Item] = []
    named, site = None, site_of(key)
    for one in said:
        known: Known
        if isinstance(one, Plain):
            known, found = one.properties, NOTHING
        elif isinstance(one, Said):
            known, found = msgspec.convert(one.properties, Known), one.properties
        else:
            items.append(one)
            continue
        if known.token != named:  # most events of a request name the same
            named, site = known.token, site_of(known.token or key)
        items.append(_item(one.event, known, found, site, sent_at))
    return items


def _item(name: str, known: Known, found: Properties, site: str, sent_at: Moment) -> Item:
    ours = NAMES.get(name, name)
    if ours[:1] == "$":
        return Unsupported.named(name)
    url, referrer, width, height = known.current_url, known.referrer, known.screen_width, known.screen_height
    event = Event(name=ours, site=site)
    # To set a field costs a third of what it costs to name it in the call, or to call a function for its value.
    if type(url) is str and url:
        event.url = url
    if type(referrer) is str and referrer and referrer != DIRECT:
        event.referrer = referrer
    if type(width) in NUMBERS and type(height) in NUMBERS:
        event.screen = (width, height)
    event.user, event.visitor = _who(known.distinct_id, known.device_id, known.user_id)
    if known.insert_id is not None:
        event.id = string(known.insert_id)
    if known.time is not None and (ts := moment_ms(known.time)) is not None:
        event.ts, event.sent_at = ts, sent_at
    if known.ip is not None:
        event.ip = string(known.ip)
    if found:
        event.props, event.revenue = _own(found)
    return event if ours is name else _renamed(event, name, known, found)


def _renamed(event: Event, name: str, known: Known, found: Properties) -> Item:
    """Gives an event that is called otherwise here what those of its kind have."""
    kind = event.name
    if kind is ALIAS or kind is IDENTIFY:
        return _about_people(event, name, known, found)
    if kind is ENGAGEMENT:
        scrolled = found.get("$max_scroll_percentage")
        event.scroll_pct = scrolled if is_number(scrolled) else None
    elif kind is FORM:
        form = found.get("$el_attr__id") or found.get("$el_attr__name")
        event.props = {ORIGINAL: name, "path": found.get("$pathname"), "form": form}
    else:
        event.props = {**event.props, ORIGINAL: name} if isinstance(event.props, dict) else RENAMED[name]
        event.title = string(known.current_page_title)
    return event


def profile_of(said: Any, where: str, key: str) -> Item:
    """Returns what a message about a profile is: a charge, or nothing that is kept. `where` is the path's name of it."""
    if type(said) is not dict:
        return Reason.NOT_AN_EVENT
    operation = next((one for one in OPERATIONS if one in said), "")
    appended = said.get("$append")
    charged = appended.get("$transactions") if type(appended) is dict else None
    if type(charged) is not dict:
        return Unsupported(f"{where} {operation}".rstrip())
    revenue = money(charged.get("$amount"), charged.get("$currency"))
    if revenue is None:
        return Reason.INVALID_REVENUE
    user, visitor = _who(said.get("$distinct_id"), said.get("$device_id"), said.get("$user_id"))
    moment = said.get("$time", charged.get("$time"))
    return Event(
        name=CHARGE,
        site=site_of(said.get("$token") or key),
        props={name: value for name, value in charged.items() if name[:1] != "$"} or None,
        revenue=revenue,
        # A message about a profile has no id of its own. With its time it can be known again.
        id=_digest(user, charged, moment) if moment is not None else None,
        ts=moment_ms(moment),
        user=user,
        visitor=visitor,
    )


def site_of(token: Any) -> str:
    """Returns the site's key as sites know it. Behind a colon a server writes its server key."""
    if type(token) is not str:
        return f"{FAMILY}:"
    return f"{FAMILY}:{token.partition(':')[0]}" if ":" in token else f"{FAMILY}:{token}"


def _own(found: Properties) -> tuple[Properties | None, Revenue | None]:
    """Returns the properties that a site gave an event by itself, and its revenue."""
    own: Properties = {}
    for name in filterfalse(MEANT.__contains__, found):
        if not name.startswith(MEASURED) and (value := found[name]) is not None:
            own[name] = value
    if is_number(found.get("$duration")):  # of `time_event`
        own["duration"] = found["$duration"]
    revenue = money(own.get("revenue"), own.get("currency")) if "revenue" in own else None
    if revenue is not None:
        del own["revenue"]
        own.pop("currency", None)
    return own or None, revenue


def _who(known: Any, device: Any, person: Any) -> tuple[str | None, str | None]:
    """Returns the person, if it is known who it is, and the visitor.

    Browsers and apps number devices. A server that has no device names the person, who then is the visitor too.
    """
    if person is None and type(device) is str and type(known) is str and known[:8] == DEVICE and device:
        return None, device
    known, device, person = text(known), text(device), text(person)
    if person is None and known and not known.startswith(DEVICE) and known != device:
        person = known
    return person, device or (known.removeprefix(DEVICE) if known else person)


def _about_people(event: Event, name: str, known: Known, found: Properties) -> Item:
    """Makes an event say who is who: `user` is the person, `visitor` the device or the earlier id."""
    get = found.get
    if name == "$identify":
        user = text(get("$identified_id")) or text(known.distinct_id)
        earlier = text(get("$anon_distinct_id") or get("$anon_id"))
    elif name == "$create_alias":
        user, earlier = text(get("alias")), text(known.distinct_id)
    else:
        ids = get("$distinct_ids")
        if type(ids) is not list or len(ids) != 2:
            return Reason.INVALID_FIELD
        user, earlier = text(ids[0]), text(ids[1])
    if not user or user.startswith(DEVICE):
        return Reason.INVALID_FIELD
    event.user = user
    event.props = None
    if earlier and not text(known.device_id):
        event.visitor = earlier.removeprefix(DEVICE)
    if earlier and not earlier.startswith(DEVICE) and earlier != event.visitor:
        event.props = {"previous_id": earlier}
    return event


def _digest(*said: Any) -> str:
    return blake2b(msgspec.json.encode(said), digest_size=16).hexdigest()
