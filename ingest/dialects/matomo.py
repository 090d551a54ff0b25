"""Reads and answers Matomo's clients: matomo.js, and programs that use its Tracking HTTP API, one event or many at once.

    GET, POST /matomo.php, /piwik.php    an event in the query or in a form, which goes before the query
    POST, with JSON as the body          {"requests": ["?idsite=1&rec=1&…", …], "token_auth": …}: many events

What they say becomes an event in `_item`. A site is named by its number, registered as the key `matomo:NUMBER`. A server key is
the `token_auth`. Without one nothing is heeded that Matomo wants a token for: another address, and times long past.

matomo.js looks at no answer and sends nothing again, unless a page has its service worker for offline use. Programs look at the
status, and for many events at how many were tracked.

Not promised: custom reports of Matomo's plugins (media, forms, heat maps, A/B tests). They are counted by name.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ingest.dialects.answers import json_answer
from ingest.dialects.coding import form_of, sniffed
from ingest.dialects.contract import STATUS, Answer, Decoded, Fates, Item, Unsupported, refused_whole
from ingest.dialects.credentials import server_key
from ingest.dialects.event import Event, Limits, clean
from ingest.dialects.native import GIF, PICTURE
from ingest.dialects.reading import Object, embedded, json_of, listed, moment_ms, text
from ingest.dialects.request import Head, Rejected
from ingest.dialects.vocabulary import DOWNLOAD, OUTBOUND, money, size_of
from ingest.fates import UNWANTED, Reason, Shed
from schemas.reasons import EXPLAINED
from schemas.site_keys import key_of

FAMILY, FIELDS_MAX, EVENTS_MAX, ID_CHARS_MAX = "matomo", 300, 1_000, 200
STATUSES = {**STATUS, **dict.fromkeys(UNWANTED, 200)}
UNKEPT = ("ping", "c_n", "cra", "ma_id", "fa_vid", "hsr_vid")  # heartbeats, content, crashes, media, forms, heat maps
SEARCH, GOAL, PURCHASE, CART = "search", "goal", "purchase", "cart"

Fields = dict[str, str]


class Tracked(Decoded, frozen=True, gc=False):
    """Holds beside the events whether many were sent, and whether the client wants a picture as its answer."""

    is_bulk: bool = False
    is_picture: bool = True


class Matomo:
    """Reads and answers `/matomo.php`."""

    name = FAMILY
    route = "/matomo.php"
    owns_visitors = True

    def __init__(self, limits: Limits) -> None:
        self.limits = msgspec.structs.replace(limits, events_max=EVENTS_MAX, id_chars_max=ID_CHARS_MAX)

    def decode(self, head: Head, body: bytes) -> Tracked:
        """Returns the events of a request. Raises Rejected."""
        asked = _fields(head.query)
        plain = sniffed(body, head.coding, self.limits.body_bytes_max) if body else b""
        if plain.lstrip()[:1] in {b"{", b"["}:
            return self._bulk(json_of(plain), asked, len(plain))
        said = asked | _fields(plain)
        size = len(plain) + len(head.query)
        return Tracked([_item(said)], False, size, credential=_token(said), is_picture=said.get("send_image") != "0")

    def _bulk(self, said: Any, asked: Fields, size: int) -> Tracked:
        about = said if isinstance(said, dict) else {}
        requests = listed(about.get("requests", said), self.limits)
        credential = _token(about) or _token(asked)
        return Tracked([_of_bulk(one) for one in requests], True, size, credential=credential, is_bulk=True)

    def answer(self, head: Head, decoded: Decoded, fates: Fates) -> Answer:
        """Answers with a picture, or with how many of a bulk were tracked."""
        assert isinstance(decoded, Tracked)
        wrong = refused_whole(fates)
        if decoded.is_bulk:
            at_fault = [at for at, fate in enumerate(fates) if fate is not None and fate not in UNWANTED]
            said: Object = {"status": "error" if wrong else "success", "tracked": len(fates) - len(at_fault)}
            said |= {"invalid": len(at_fault), "invalid_indices": at_fault}
            return json_answer(STATUSES.get(wrong[0], 400) if wrong else 200, said)
        if wrong:
            return self.refusal(head, wrong[0])
        return Answer(200, PICTURE, GIF) if decoded.is_picture else Answer(204, (), b"")

    def refusal(self, _head: Head, reason: Reason) -> Answer:
        status = STATUSES.get(reason, 400)
        said = {"status": "error", "message": EXPLAINED[reason]}
        return json_answer(status, said)

    def shed(self, reason: Shed) -> Answer:
        return json_answer(503, {"status": "error", "message": reason.value})


def _fields(said: bytes) -> Fields:
    """Returns the fields of a query or a form. Raises Rejected."""
    found = form_of(said.removeprefix(b"?"), FIELDS_MAX) if said else {}
    return {clean(name): clean(value.decode("utf-8", "replace")) for name, value in found.items()}


def _token(said: Object | Fields) -> str:
    return server_key(text(said.get("token_auth")) or "")


def _of_bulk(said: Any) -> Item:
    """Returns the event of one request of a bulk: a query, or an object with its fields."""
    if isinstance(said, str):
        try:
            return _item(_fields(said.encode("utf-8", "replace")))
        except Rejected as rejected:
            return rejected.reason
    if not isinstance(said, dict):
        return Reason.NOT_AN_EVENT
    return _item({name: value for name, one in said.items() if (value := text(one)) is not None})


def _item(said: Fields) -> Item:
    """Returns what a request says: an event, or why it is none."""
    get = said.get
    if get("rec", "1") != "1":  # Matomo tracks nothing then
        return Reason.NOT_AN_EVENT
    unkept = next((name for name in UNKEPT if get(name)), None)
    if unkept is not None:
        return Unsupported(unkept)
    visitor, page, number = get("cid") or get("_id"), get("pv_id"), get("rand")
    event = Event(
        site=key_of(FAMILY, get("idsite", "")),
        url=get("url"),
        referrer=get("urlref"),
        title=get("action_name"),
        language=get("lang"),
        screen=size_of(get("res")),
        id=f"{visitor}.{page}.{number}" if visitor and page and number else None,
        ts=moment_ms(get("cdt")),
        user=get("uid"),
        visitor=visitor or get("uid"),
        ip=get("cip"),
        user_agent=get("ua"),
    )
    props: Object = {name: value for name, value in said.items() if name.startswith("dimension")}
    for variables in (get("_cvar"), get("cvar")):  # {"1": [name, value], …}: of the visit, and of the page
        for pair in embedded(variables).values():
            if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str):
                props[pair[0]] = pair[1]
    event.name, about = _act(said)
    if "revenue" in said and event.name in {GOAL, PURCHASE}:
        event.revenue = money(said["revenue"], None)
        if event.revenue is None:
            return Reason.INVALID_REVENUE
    event.props = {name: value for name, value in {**props, **about}.items() if value is not None} or None
    return event


def _act(said: Fields) -> tuple[str | None, Object]:
    """Returns the name of what was done, None for a page that was looked at, and what is known of it."""
    get = said.get
    if get("e_c") or get("e_a"):
        return get("e_a") or get("e_c"), {"category": get("e_c"), "label": get("e_n"), "value": get("e_v")}
    if link := get("link"):
        return OUTBOUND, {"url": link}
    if link := get("download"):
        return DOWNLOAD, {"url": link}
    if query := get("search"):
        return SEARCH, {"query": query, "category": get("search_cat"), "results": get("search_count")}
    if (goal := get("idgoal")) and goal != "0":
        return GOAL, {"goal": goal}
    if goal == "0":
        about = {"tax": get("ec_tx"), "shipping": get("ec_sh"), "discount": get("ec_dt"), "items": get("ec_items")}
        if order := get("ec_id"):
            return PURCHASE, {"order_id": order, **about}
        return CART, {"value": get("revenue"), **about}
    return None, {}
