"""Reads and answers OpenPanel's clients: its script, @openpanel/web and what is made of it, @openpanel/sdk on servers.

A request is one object, {"type": …, "payload": {…}}, to /track or, below the address of an installation, /api/track. The site's key
is in the header `openpanel-client-id`, registered as `openpanel:ID`; a server key is in `openpanel-client-secret`. Fields of
`properties` that begin with two underscores are the SDK's own.

The SDKs take 200, 202 and 401 as the end, and send again whatever else they are answered: three times, within four seconds. So
what would be refused again is answered 401.

Not promised: that what comes again is stored once. An event has neither an id nor a moment, so one whose answer was lost is two.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ingest.dialects.answers import json_answer
from ingest.dialects.coding import mended, text_of
from ingest.dialects.contract import STATUS, Answer, Decoded, Fates, Item, Unsupported, refused_whole
from ingest.dialects.credentials import server_key
from ingest.dialects.event import PAGEVIEW, Event, Limits
from ingest.dialects.reading import Object, event_of, mapping, object_of, string, text
from ingest.dialects.request import Head, Rejected
from ingest.dialects.vocabulary import ALIAS, CURRENCY, GROUP, IDENTIFY, OUTBOUND, path_of
from ingest.fates import UNWANTED, Reason, Shed
from schemas.reasons import EXPLAINED
from schemas.site_keys import key_of

FAMILY, ID_CHARS_MAX = "openpanel", 200
PAGE, LINK, REVENUE = "screen_view", "link_out", "revenue"
OWN = "__"  # what the SDK says of an event itself begins with it
PERSON = ("firstName", "lastName", "email", "avatar")
AGAIN = frozenset((429, 503))

# OpenPanel answers with its numbers of the device and the session. Forebay shows its own to nobody.
TAKEN = json_answer(200, {"deviceId": "", "sessionId": ""})


class OpenPanel:
    """Reads and answers `POST /track`."""

    name = FAMILY
    route = "/track"
    owns_visitors = True  # where a server names the device

    def __init__(self, limits: Limits) -> None:
        self.limits = msgspec.structs.replace(limits, id_chars_max=ID_CHARS_MAX)

    def decode(self, head: Head, body: bytes) -> Decoded:
        """Returns the event of a body. Raises Rejected."""
        plain = mended(text_of(body, head.coding, self.limits.body_bytes_max))
        said = object_of(plain)
        secret = head.fields.get(b"openpanel-client-secret", b"").decode("latin-1")
        common: Object = {
            "site": key_of(FAMILY, head.fields.get(b"openpanel-client-id", b"").decode("latin-1")),
            "ip": head.fields.get(b"x-client-ip", b"").decode("latin-1") or None,
        }
        item = _item(said.get("type"), mapping(said.get("payload")), common, head, is_server=bool(secret))
        if isinstance(item, Reason):
            raise Rejected(item)
        return Decoded([item], False, len(plain), credential=server_key(secret))

    def answer(self, head: Head, _decoded: Decoded, fates: Fates) -> Answer:
        wrong = refused_whole(fates)
        return self.refusal(head, wrong[0]) if wrong else TAKEN

    def refusal(self, _head: Head, reason: Reason) -> Answer:
        if reason in UNWANTED:
            return TAKEN
        status = STATUS.get(reason, 400)
        status = status if status in AGAIN else 401
        return json_answer(status, {"status": status, "error": reason, "message": EXPLAINED[reason]})

    def shed(self, reason: Shed) -> Answer:
        return json_answer(503, {"status": 503, "error": reason})


def _item(kind: Any, said: Object, common: Object, head: Head, *, is_server: bool) -> Item:
    """Returns what a request says: an event, or why it is none."""
    if not isinstance(kind, str):
        return Reason.INVALID_FIELD
    user = text(said.get("profileId"))
    properties = mapping(said.get("properties"))
    own = {name: value for name, value in properties.items() if not name.startswith(OWN) and name != "profileId"}
    # A server that names only a person means the visitor: otherwise all its users would be one.
    common |= {"user": user, "visitor": text(properties.get("__deviceId")) or (user if is_server else None)}
    if kind == "track":
        return _tracked(said, properties, own, common, head)
    if kind == "identify":
        about = {name: said[name] for name in PERSON if said.get(name) is not None}
        return event_of({"name": IDENTIFY, "props": own | about, **common}) if user else Reason.INVALID_FIELD
    if kind == "alias":
        earlier = text(said.get("alias"))
        if user is None or earlier is None:
            return Reason.INVALID_FIELD
        return event_of({"name": ALIAS, **common, "visitor": earlier, "props": {"previous_id": earlier}})
    if kind == "group":
        about = {"group_type": text(said.get("type")), "group_id": text(said.get("id")), "name": text(said.get("name"))}
        return event_of({"name": GROUP, "props": {**about, **own}, **common})
    if kind == "assign_group":
        return event_of({"name": GROUP, "props": {"group_id": said.get("groupIds")}, **common})
    return Unsupported.named(kind)  # increment, decrement, replay


def _tracked(said: Object, properties: Object, own: Object, common: Object, head: Head) -> Event | Reason:
    name = text(said.get("name"))
    if name is None:
        return Reason.INVALID_NAME
    page = string(properties.get("__path"))
    if page is not None and not path_of(page):
        page = None
    if page is not None and page.startswith("/"):
        page = head.fields.get(b"origin", b"").decode("latin-1") + page
    fields: Object = {**common, "name": name, "referrer": string(properties.get("__referrer"))}
    fields["url"] = page or (None if b"openpanel-client-secret" in head.fields else _address(head))
    fields["title"] = string(properties.get("__title"))
    if (groups := said.get("groups")) and isinstance(groups, list):
        own["groups"] = groups
    if name == PAGE:
        fields["name"] = PAGEVIEW
    elif name == LINK:
        fields["name"] = OUTBOUND
        own["url"] = own.pop("href", None)
    amount = properties.get("__revenue")
    if type(amount) is int:  # cents; others are no amount for OpenPanel either
        currency = string(own.pop("currency", None)) or CURRENCY
        fields["revenue"] = {
            "amount": f"{'-' * (amount < 0)}{abs(amount) // 100}.{abs(amount) % 100:02}",
            "currency": currency,
        }
    fields["props"] = own
    return event_of(fields)


def _address(head: Head) -> str | None:
    """Returns what the browser says of the page that an event without one is of."""
    found = head.fields.get(b"referer") or head.fields.get(b"origin")
    return found.decode("latin-1") if found else None
