"""Reads and answers GoatCounter's clients: count.js, its picture, and programs that use its API.

    GET, POST /count, /goatcounter/SITE/count         one event in the query: count.js asks for a picture, or sends a beacon
    POST /api/v0/count, /goatcounter/SITE/api/v0/count    JSON {"hits": [{path, title, event, ref, …}, …]}, with a server key as Bearer

GoatCounter knows a site by the host that is asked. Here the page's host names it, which a browser says in `Referer` or `Origin`, or
the part SITE of the path does. A path is all that an event says of its page.

count.js looks at no answer and sends nothing again. Events have no ids, and visitors no numbers.

Not promised: `session` and `no_sessions` of the API. Visitors are recognised as those of all events.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from ingest.dialects.answers import JSON_TYPE, json_answer
from ingest.dialects.coding import form_of, mended, text_of
from ingest.dialects.contract import RETRY_AFTER, STATUS, Answer, Decoded, Fates, Item, refused_whole
from ingest.dialects.credentials import bearer, server_key
from ingest.dialects.event import Event, Limits, clean
from ingest.dialects.native import GIF, PICTURE
from ingest.dialects.reading import Object, listed, moment_ms, number, object_of, text
from ingest.dialects.request import Head
from ingest.dialects.vocabulary import size_of
from ingest.fates import UNWANTED, Reason, Shed
from schemas.reasons import EXPLAINED

FAMILY, FIELDS_MAX = "goatcounter", 50
STATUSES = {**STATUS, **dict.fromkeys(UNWANTED, 200)}
NO = frozenset((None, "", "0", "false", "off", False, 0))
AUTOMATION = 1  # of `Event.auto`: the page saw that a program drives the browser


class GoatCounter:
    """Reads and answers `/count`."""

    name = FAMILY
    route = "/count"
    owns_visitors = False

    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    def decode(self, head: Head, _body: bytes) -> Decoded:
        """Returns the event of a query. Raises Rejected."""
        found = form_of(head.query, FIELDS_MAX) if head.query else {}
        said = {name: clean(value.decode("utf-8", "replace")) for name, value in found.items()}
        page = _page_of(head)
        width, _, height = said.get("s", "").partition(",")
        get = said.get
        hit: Object = {
            "path": get("p"),
            "title": get("t"),
            "ref": get("r"),
            "event": get("e"),
            "query": get("q"),
            "bot": get("b"),
        }
        item = _item(hit, _site_of(head), page)
        if isinstance(item, Event):
            item.screen = size_of(f"{width}x{height.partition(',')[0]}")
        return Decoded([item], True, len(head.query))

    def answer(self, head: Head, _decoded: Decoded, fates: Fates) -> Answer:
        wrong = refused_whole(fates)
        return self.refusal(head, wrong[0]) if wrong else Answer(200, PICTURE, GIF)

    def refusal(self, _head: Head, reason: Reason) -> Answer:
        """Says in a header what is wrong, as GoatCounter does: the answer is a picture."""
        status = STATUSES.get(reason, 400)
        told = (b"x-goatcounter", EXPLAINED[reason].encode())
        return Answer(status, (*PICTURE, told, *(RETRY_AFTER if status == 503 else ())), GIF)

    def shed(self, _reason: Shed) -> Answer:
        return Answer(503, (*PICTURE, *RETRY_AFTER), GIF)


class GoatCounterApi(GoatCounter):
    """Reads and answers `/api/v0/count`, which only servers use."""

    route = "/api/v0/count"

    def decode(self, head: Head, body: bytes) -> Decoded:
        """Returns the events of a body. Raises Rejected."""
        plain = mended(text_of(body, head.coding, self.limits.body_bytes_max))
        hits = listed(object_of(plain).get("hits"), self.limits)
        site = _site_of(head)
        credential = server_key(bearer(head))
        return Decoded([_hit(one, site) for one in hits], True, len(plain), credential=credential, needs_key=True)

    def answer(self, _head: Head, _decoded: Decoded, fates: Fates) -> Answer:
        """Names the events that were not taken by their position, as GoatCounter does."""
        wrong = {str(at): EXPLAINED[fate] for at, fate in enumerate(fates) if fate is not None and fate not in UNWANTED}
        if not wrong:
            return Answer(202, (JSON_TYPE,), b"{}")
        return json_answer(400 if refused_whole(fates) else 202, {"errors": wrong})

    def refusal(self, _head: Head, reason: Reason) -> Answer:
        status = STATUSES.get(reason, 400)
        return json_answer(status, {"error": EXPLAINED[reason]})

    def shed(self, reason: Shed) -> Answer:
        return json_answer(503, {"error": reason.value})


def _site_of(head: Head) -> str | None:
    """Returns the site that a path /goatcounter/SITE/… names."""
    parts = head.path.split(b"/")
    return parts[2].decode("latin-1") if len(parts) > 3 and parts[1] == b"goatcounter" else None


def _page_of(head: Head) -> str:
    """Returns what the browser says of the page: its address, or the beginning of it."""
    return (head.fields.get(b"referer") or head.fields.get(b"origin", b"")).decode("utf-8", "replace")


def _hit(said: Any, site: str | None) -> Item:
    if not isinstance(said, dict):
        return Reason.NOT_AN_EVENT
    host = text(said.get("host"))
    item = _item(said, site or host, f"https://{host or site}/" if host or site else "")
    if isinstance(item, Event):
        size = said.get("size")
        if isinstance(size, list) and len(size) >= 2:
            width, height = number(size[0]), number(size[1])
            item.screen = (width, height) if width is not None and height is not None else None
        item.ts, item.language = moment_ms(said.get("created_at")), text(said.get("language"))
        item.ip, item.user_agent = text(said.get("ip")), text(said.get("user_agent"))
    return item


def _item(said: Object, site: str | None, page: str) -> Item:
    """Returns an event. `page` is an address of the same host, if one is known."""
    path = text(said.get("path"))
    if path is None:
        return Reason.MISSING_URL
    event = Event(site=site, referrer=text(said.get("ref")), title=text(said.get("title")))
    if (number(said.get("bot")) or 0) > 0:
        event.auto = AUTOMATION
    flag = said.get("event")
    if isinstance(flag, list | dict) or flag not in NO:
        event.name, event.url = path, page or None
        return event
    query = text(said.get("query")) or ""
    if query and "?" not in path:  # a page that names another as its canonical one
        path = f"{path}?{query.removeprefix('?')}"
    event.url = path if path.startswith(("http://", "https://")) else _beside(page, path)
    return event


def _beside(page: str, path: str) -> str | None:
    """Returns the address of a path on the host of a page; None where the page is not known."""
    try:
        parts = urlsplit(page)
    except ValueError:
        return None
    return f"{parts.scheme}://{parts.netloc}/{path.removeprefix('/')}" if parts.netloc else None
