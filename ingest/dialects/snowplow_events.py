"""Says what the events of Snowplow's trackers are here: the vocabulary of the family, and nothing of its bodies (snowplow.py).

    pv                  pageview
    pp                  engagement, with how deep the page was scrolled
    se                  its action; category, label, property and value are properties
    tr                  purchase, with its revenue
    ue                  the name in its schema (iglu:com.acme/sign_up/jsonschema/1-0-0 is sign_up), except:
        link_click      Outbound Link: Click, if it leads to another host
        submit_form     Form: Submission
        screen_view     pageview of app://app/SCREEN
        web_vitals      vitals
        snowplow_ecommerce_action    its type; a transaction and a refund have their revenue
    ti, ad, change_form, focus_form, application_error, application_background, application_foreground
                        are not kept, and are counted by their names

Not promised: entities (contexts), and the seconds between two page pings, which the tracker does not say.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from ingest.dialects.coding import from_base64
from ingest.dialects.contract import Item, Unsupported
from ingest.dialects.event import PAGEVIEW, VITALS, Event
from ingest.dialects.reading import json_of, mapping, moment_ms, number, text
from ingest.dialects.request import Rejected
from ingest.dialects.vocabulary import (
    ENGAGEMENT,
    FORM,
    ORIGINAL,
    OUTBOUND,
    VITALS_NAME,
    is_number,
    money,
    path_of,
    refunded,
    screen_url,
    size_of,
)
from ingest.fates import Reason

Fields = dict[str, Any]

FAMILY = "snowplow"
PURCHASE, SHOP = "purchase", "snowplow_ecommerce_action"
LEFT_OUT = frozenset(
    ("change_form", "focus_form", "application_error", "application_background", "application_foreground")
)
SCHEMA_PARTS = 4  # of iglu:com.acme/sign_up/jsonschema/1-0-0, behind which the name is the second


def item_of(said: Fields) -> Item:
    """Returns what an event of a tracker is: an event, or why it is none."""
    kind = said.get("e")
    if kind == "pv":
        return _event(said, PAGEVIEW)
    if kind == "pp":
        event = _event(said, ENGAGEMENT)
        event.scroll_pct = _scrolled(said)
        return event
    if kind == "se":
        return _structured(said)
    if kind == "tr":
        event = _event(said, PURCHASE)
        event.revenue = money(said.get("tr_tt"), said.get("tr_cu"))
        event.props = {"order_id": said.get("tr_id"), "affiliation": said.get("tr_af")}
        return event
    if kind == "ue":
        return _self_describing(said)
    return Unsupported.named(kind) if type(kind) is str and kind else Reason.NOT_AN_EVENT


def _event(said: Fields, name: str) -> Event:
    get = said.get
    user = text(get("uid"))
    return Event(
        name=name,
        url=text(get("url")),
        site=f"{FAMILY}:{text(get('aid')) or ''}",
        referrer=text(get("refr")),
        title=text(get("page")),
        language=text(get("lang")),
        screen=size_of(get("res")),
        id=text(get("eid")),
        ts=moment_ms(get("ttm") or get("dtm")),
        sent_at=moment_ms(get("stm")) if get("dtm") is not None and get("ttm") is None else None,
        user=user,
        visitor=text(get("duid")) or user,
        ip=text(get("ip")),
        user_agent=text(get("ua")),
    )


def _structured(said: Fields) -> Item:
    action = text(said.get("se_ac"))
    if action is None:
        return Reason.INVALID_NAME
    event = _event(said, action)
    names = {"category": "se_ca", "label": "se_la", "property": "se_pr", "value": "se_va"}
    event.props = {name: said[field] for name, field in names.items() if said.get(field) is not None} or None
    return event


def _self_describing(said: Fields) -> Item:
    name, data = _described(_json(said, "ue_pr", "ue_px").get("data"))
    if not name:
        return Reason.INVALID_FIELD
    if name in LEFT_OUT:
        return Unsupported.named(name)
    event = _event(said, name)
    event.props = data or None
    if name == "link_click":
        target = text(data.get("targetUrl"))
        if target and _host(target) != _host(event.url or ""):
            event.name, event.props = OUTBOUND, {"url": target, ORIGINAL: name}
    elif name == "submit_form":
        form = text(data.get("formId"))
        event.name, event.props = FORM, {"form": form, "path": path_of(event.url), ORIGINAL: name}
    elif name == "screen_view":
        screen = text(data.get("name"))
        event.name, event.props = PAGEVIEW, {ORIGINAL: name}
        event.url, event.title = event.url or (screen_url("", screen) if screen else None), event.title or screen
    elif name == "web_vitals":
        event.name, event.props = VITALS_NAME, None
        event.vitals = {short: data[short] for short in VITALS if is_number(data.get(short))}
    elif name == SHOP:
        _shopped(event, said, data)
    return event


def _shopped(event: Event, said: Fields, data: Fields) -> None:
    """Gives what happened in a shop the name of its kind, and its revenue, which an entity beside it has."""
    event.name = text(data.get("type")) or SHOP
    entities = _json(said, "co", "cx").get("data")
    for one in entities if isinstance(entities, list) else ():
        kind, found = _described(one)
        if kind == "transaction" and event.name == "transaction":
            event.revenue = money(found.get("revenue"), found.get("currency"))
            event.props = {"order_id": found.get("transaction_id")}
        elif kind == "refund" and event.name == "refund":
            paid = money(found.get("refund_amount"), found.get("currency"))
            event.revenue = paid and refunded(paid)
            event.props = {"order_id": found.get("transaction_id")}


def _described(said: Any) -> tuple[str, Fields]:
    """Returns the name in the schema of something that describes itself, and what it says."""
    parts = str(mapping(said).get("schema", "")).split("/")
    return (parts[1] if len(parts) == SCHEMA_PARTS else ""), dict(mapping(mapping(said).get("data")))


def _json(said: Fields, plain: str, coded: str) -> Fields:
    """Returns an object that stands in a field as JSON, or in another one as base64 of it; an empty one where it can't be read."""
    try:
        if (found := text(said.get(plain))) is not None:
            return mapping(json_of(found.encode("utf-8", "replace")))
        if (found := text(said.get(coded))) is not None:
            return mapping(json_of(from_base64(found.encode("utf-8", "replace"))))
    except Rejected:
        pass
    return {}


def _scrolled(said: Fields) -> float | None:
    """Returns how much of the page was seen, in percent, from the scroll offset and the heights of the window and of the page."""
    top, seen, whole = number(said.get("pp_may")), size_of(said.get("vp")), size_of(said.get("ds"))
    if top is None or seen is None or whole is None or not whole[1] > 0:
        return None
    return min(100.0, (top + seen[1]) * 100 / whole[1])


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
