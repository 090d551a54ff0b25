"""Says what the events of Google Analytics 4 are here, of gtag.js and of the Measurement Protocol (ga4.py).

    page_view              pageview
    screen_view            pageview of app://app/SCREEN
    user_engagement        engagement
    scroll                 engagement, with how deep the page was scrolled
    click                  Outbound Link: Click
    file_download          File Download
    form_submit            Form: Submission
    purchase, refund       themselves, with their revenue, which is negative for a refund
    session_start, first_visit, form_start, and what apps say of themselves    is not kept, and is counted by its name
    any other name         itself

`value` is money of a purchase alone: of a cart or of a list it is what somebody might pay.

Not promised: ids. Two purchases with the same `transaction_id` are one, as in Google Analytics; of gtag.js the page and the
number of the hit are an id. Any other event that is sent twice is stored twice.
"""

from __future__ import annotations

from typing import Any

from ingest.dialects.contract import Item, Unsupported
from ingest.dialects.event import PAGEVIEW, Event
from ingest.dialects.reading import string, text
from ingest.dialects.vocabulary import (
    DOWNLOAD,
    ENGAGEMENT,
    FORM,
    ORIGINAL,
    OUTBOUND,
    is_number,
    money,
    path_of,
    refunded,
    screen_url,
    size_of,
)
from ingest.fates import Reason

Parameters = dict[str, Any]

FAMILY = "ga4"
NAMES = {
    "page_view": PAGEVIEW,
    "screen_view": PAGEVIEW,
    "user_engagement": ENGAGEMENT,
    "scroll": ENGAGEMENT,
    "click": OUTBOUND,
    "file_download": DOWNLOAD,
    "form_submit": FORM,
}
# Starts of visits are decided here. The others are what a browser or an app says without anybody having done anything.
LEFT_OUT = frozenset(
    (
        "session_start", "first_visit", "first_open", "form_start", "app_update", "app_remove", "app_clear_data", "os_update",
        "app_store_subscription_renew", "notification_receive", "notification_dismiss", "ad_impression", "ad_query",
    )
)  # fmt: skip
SOLD = frozenset(("purchase", "in_app_purchase", "ecommerce_purchase"))
GIVEN_BACK = frozenset(("refund", "purchase_refund"))
# What has its own place, or is about the measurement itself.
MEANT = frozenset(
    (
        "page_location", "page_referrer", "page_title", "page_path", "language", "screen_resolution", "session_id",
        "ga_session_id", "ga_session_number", "session_number", "engagement_time_msec", "engaged_session_event", "debug_mode",
        "ignore_referrer", "firebase_screen_class", "campaign", "source", "medium", "term", "content", "gclid",
    )
)  # fmt: skip


def item_of(name: str, found: Parameters, common: Event) -> Item:
    """Returns what an event is: an event, or why it is none. `common` has what its request says of all of its events."""
    if name in LEFT_OUT or name[:1] == "_":
        return Unsupported.named(name)
    event = _event(name, found, common)
    ours = NAMES.get(name)
    if ours is None:
        if name in SOLD or name in GIVEN_BACK:
            _paid(event, name in GIVEN_BACK, found)
        return event
    event.name = ours
    props = event.props if type(event.props) is dict else {}
    if ours is ENGAGEMENT:
        event.engaged_ms = _number(found.get("engagement_time_msec"))
        event.scroll_pct = _number(found.get("percent_scrolled"))
        event.props = None
        return event
    if ours is OUTBOUND or ours is DOWNLOAD:
        url = found.get("link_url")
        if type(url) is not str or not url:  # a click within the site has none, and gtag.js sends no such event
            return Reason.INVALID_FIELD
        props["url"] = url
    elif ours is FORM:
        props["form"] = found.get("form_id") or found.get("form_name")
        props["path"] = path_of(event.url)
    elif name == "screen_view":
        screen = string(found.get("screen_name")) or string(found.get("firebase_screen"))
        event.url = event.url or (screen_url("", screen) if screen else None)
        event.title = event.title or screen
    if name != "page_view":
        props[ORIGINAL] = name
    event.props = props or None
    return event


def _event(name: str, found: Parameters, common: Event) -> Event:
    get = found.get
    session = get("session_id", get("ga_session_id"))
    props = {key: value for key, value in found.items() if key not in MEANT and value is not None}
    return Event(
        name=name,
        url=string(get("page_location")) or common.url,
        site=common.site,
        referrer=string(get("page_referrer")) or common.referrer,
        title=string(get("page_title")) or common.title,
        language=string(get("language")) or common.language,
        screen=size_of(get("screen_resolution")) or common.screen,
        props=props or None,
        id=common.id,
        ts=common.ts,
        user=common.user,
        visitor=common.visitor,
        session=text(session) or common.session,
        ip=common.ip,
        user_agent=common.user_agent,
    )


def _paid(event: Event, is_refund: bool, found: Parameters) -> None:
    """Gives a purchase its revenue, and an id that follows from its transaction."""
    revenue = money(found.get("value"), found.get("currency"))
    if revenue is not None and is_refund:
        revenue = refunded(revenue)
    event.revenue = revenue
    if revenue is not None and type(event.props) is dict:
        event.props = {key: value for key, value in event.props.items() if key not in {"value", "currency"}} or None
    transaction = text(found.get("transaction_id"))
    if transaction and not is_refund:  # what was bought once can be given back in parts
        event.id = f"purchase.{transaction}"


def _number(said: Any) -> float | None:
    if type(said) is str:
        try:
            said = float(said)
        except ValueError:
            return None
    return said if is_number(said) and -1e15 < said < 1e15 else None
