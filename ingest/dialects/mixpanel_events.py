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

from hashlib import blake2b
from typing import Any

import msgspec

from ingest.dialects.contract import Item, Unsupported
from ingest.dialects.event import PAGEVIEW, Event, Revenue
from ingest.dialects.reading import Moment, moment_ms, string, text
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
DEVICE = "$device:"  # what an id begins with that is a device's, and nobody's
DIRECT = "$direct"  # the referrer of a visit without one
# What has its own place, or stands in the URL under the same name.
COPIES = frozenset(
    (
        "token", "distinct_id", "time", "ip", "current_page_title", "current_domain", "current_url_path", "current_url_protocol",
        "current_url_search", "utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term", "utm_id",
        "utm_source_platform", "utm_campaign_id", "utm_creative_format", "utm_marketing_tactic", "dclid", "fbclid", "gclid",
        "ko_click_id", "li_fat_id", "msclkid", "sccid", "ttclid", "twclid", "wbraid", "gbraid",
    )
)  # fmt: skip
# What SDKs measure of the browser, which the request's head says too. To look a name up here is quicker than to look at
# its beginning, which says the same of all others.
MEANT = COPIES.union(
    (
        "$os", "$browser", "$browser_version", "$current_url", "$device", "$device_id", "$user_id", "$screen_height",
        "$screen_width", "$referrer", "$referring_domain", "$initial_referrer", "$initial_referring_domain", "$lib_version",
        "$insert_id", "$search_engine", "mp_lib", "mp_loader", "mp_keyword", "mp_sent_by_lib_version", "$mp_autocapture",
    )
)  # fmt: skip
# What can be done to a profile, in the order in which it is looked for: a client sends one in a message.
OPERATIONS = ("$set", "$set_once", "$add", "$append", "$union", "$remove", "$unset", "$delete")


class Said(msgspec.Struct, gc=False):
    """Holds an event as clients write it."""

    event: str
    properties: Properties


def item_of(said: Said, key: str, sent_at: Moment) -> Item:
    """Returns what an event of a client is: an event, or why it is none.

    `key` is the site's, if the event does not name one; `sent_at` is the client's clock when it sent it.
    """
    name, found = said.event, said.properties
    ours = NAMES.get(name, name)
    if ours[:1] == "$":
        return Unsupported.named(name)
    event = _event(ours, found, key, sent_at)
    if ours is name:
        return event
    if ours is ALIAS or ours is IDENTIFY:
        return _about_people(event, name, found)
    if ours is ENGAGEMENT:
        scrolled = found.get("$max_scroll_percentage")
        event.scroll_pct = scrolled if is_number(scrolled) else None
        return event
    if ours is FORM:
        form = found.get("$el_attr__id") or found.get("$el_attr__name")
        event.props = {ORIGINAL: name, "path": found.get("$pathname"), "form": form}
        return event
    event.props = {**event.props, ORIGINAL: name} if isinstance(event.props, dict) else {ORIGINAL: name}
    event.title = string(found.get("current_page_title"))
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


def _event(name: str, found: Properties, key: str, sent_at: Moment) -> Event:
    get = found.get
    event = Event(name=name, url=string(get("$current_url")), site=site_of(get("token") or key))
    event.user, event.visitor = _who(get("distinct_id"), get("$device_id"), get("$user_id"))
    # To set a field costs a third of what it costs to name it in the call.
    referrer = get("$referrer")
    width: Any = get("$screen_width")
    height: Any = get("$screen_height")
    if type(referrer) is str and referrer and referrer != DIRECT:
        event.referrer = referrer
    if type(width) in NUMBERS and type(height) in NUMBERS:
        event.screen = (width, height)
    if "$insert_id" in found:
        event.id = string(found["$insert_id"])
    if "time" in found and (ts := moment_ms(found["time"])) is not None:
        event.ts, event.sent_at = ts, sent_at
    if "ip" in found:
        event.ip = string(found["ip"])
    if not MEANT.issuperset(found):  # of most pageviews it is
        event.props, event.revenue = _own(found)
    return event


def _own(found: Properties) -> tuple[Properties | None, Revenue | None]:
    """Returns the properties that a site gave an event by itself, and its revenue."""
    own = {
        name: value
        for name, value in found.items()
        if value is not None and name not in MEANT and name[:1] != "$" and name[:3] != "mp_"
    }
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


def _about_people(event: Event, name: str, found: Properties) -> Item:
    """Makes an event say who is who: `user` is the person, `visitor` the device or the earlier id."""
    get = found.get
    if name == "$identify":
        user = text(get("$identified_id")) or text(get("distinct_id"))
        earlier = text(get("$anon_distinct_id") or get("$anon_id"))
    elif name == "$create_alias":
        user, earlier = text(get("alias")), text(get("distinct_id"))
    else:
        ids = get("$distinct_ids")
        if type(ids) is not list or len(ids) != 2:
            return Reason.INVALID_FIELD
        user, earlier = text(ids[0]), text(ids[1])
    if not user or user.startswith(DEVICE):
        return Reason.INVALID_FIELD
    event.user = user
    event.props = None
    if earlier and not text(get("$device_id")):
        event.visitor = earlier.removeprefix(DEVICE)
    if earlier and not earlier.startswith(DEVICE) and earlier != event.visitor:
        event.props = {"previous_id": earlier}
    return event


def _digest(*said: Any) -> str:
    return blake2b(msgspec.json.encode(said), digest_size=16).hexdigest()
