"""Reads and answers Rybbit's clients: its script, @rybbit/js and @rybbit/node (docs/compatibility-rybbit.md).

A request is one object with a `type` and the page in three parts. Properties are JSON within a text. `site_id` is registered as
the key `rybbit:ID` of a site. A browser asks first for its configuration, and then sends by beacons: nothing comes again, and no
event has an id.
"""

from __future__ import annotations

from ingest.dialects.answers import json_answer
from ingest.dialects.coding import text_of
from ingest.dialects.contract import STATUS, Answer, Decoded, Endpoint, Fates, Item, Unsupported
from ingest.dialects.credentials import bearer, server_key
from ingest.dialects.event import PAGEVIEW, VITALS, Event, Limits
from ingest.dialects.reading import Object, embedded, event_of, mapping, number, object_of, text
from ingest.dialects.request import Head, Rejected
from ingest.dialects.vocabulary import FORM, IDENTIFY, OUTBOUND, VITALS_NAME
from ingest.fates import UNWANTED, Reason, Shed
from schemas.reasons import EXPLAINED
from schemas.site_keys import key_of

KINDS = {
    "pageview": PAGEVIEW,
    "performance": VITALS_NAME,
    "outbound": OUTBOUND,
    "form_submit": FORM,
}
CUSTOM = "custom_event"
# What a page may ask for, by Rybbit's names: what becomes no event here is switched off.
CONFIGURATION = {
    "sessionReplay": False, "webVitals": True, "trackErrors": False, "trackOutbound": True, "trackUrlParams": True,
    "trackInitialPageView": True, "trackSpaNavigation": True, "trackButtonClicks": False, "trackCopy": False,
    "trackFormInteractions": False,
}  # fmt: skip

TAKEN = json_answer(200, {"success": True})


class Rybbit:
    """Reads and answers `POST /api/track`."""

    name = "rybbit"
    route = "/api/track"
    owns_visitors = True  # where a client numbers them, as those of apps do

    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    def decode(self, head: Head, body: bytes) -> Decoded:
        """Returns the event of a body. Raises Rejected."""
        plain = text_of(body, head.coding, self.limits.body_bytes_max)
        if len(plain) > self.limits.event_bytes_max:
            raise Rejected(Reason.EVENT_TOO_LARGE)
        said = object_of(plain)
        item = self._item(said)
        if isinstance(item, Reason):
            raise Rejected(item)
        credential = server_key(bearer(head), text(said.get("api_key")) or "")
        return Decoded([item], False, len(plain), credential=credential)

    def _item(self, said: Object) -> Item:
        return _item(said)

    def answer(self, head: Head, _decoded: Decoded, fates: Fates) -> Answer:
        return TAKEN if fates[0] is None else self.refusal(head, fates[0])

    def refusal(self, _head: Head, reason: Reason) -> Answer:
        """Says that a site is not found as Rybbit does, and that an event which the site leaves out was not tracked."""
        if reason in UNWANTED:
            return json_answer(200, {"success": True, "message": "Event not tracked"})
        if reason is Reason.UNKNOWN_SITE:
            return json_answer(404, {"success": False, "error": "Site not found"})
        status = STATUS.get(reason, 400)
        return json_answer(status, {"success": False, "error": EXPLAINED[reason]})

    def shed(self, _reason: Shed) -> Answer:
        return json_answer(503, {"success": False, "error": "try again"})


class RybbitIdentify(Rybbit):
    """Reads and answers `POST /api/identify`, with which a page says who somebody is."""

    route = "/api/identify"

    def _item(self, said: Object) -> Item:
        if (user := text(said.get("user_id"))) is None:
            return Reason.INVALID_FIELD
        fields = {"name": IDENTIFY, "site": _site(said), "user": user, "props": mapping(said.get("traits"))}
        return event_of(fields | _client(said))


class RybbitConfiguration(Endpoint):
    """Answers `GET /api/site/tracking-config/ID`, the same for every site."""

    name = "rybbit"
    route = "/api/site/tracking-config"

    def answer(self, _head: Head, _decoded: Decoded, _fates: Fates) -> Answer:
        return json_answer(200, CONFIGURATION)


def _item(said: Object) -> Event | Reason | Unsupported:
    kind = said.get("type")
    if not isinstance(kind, str):
        return Reason.INVALID_FIELD
    if kind != CUSTOM and kind not in KINDS:
        return Unsupported.named(kind)
    name = text(said.get("event_name")) if kind == CUSTOM else KINDS[kind]
    if name is None:
        return Reason.INVALID_NAME
    props = dict(embedded(said.get("properties")))
    if (tag := text(said.get("tag"))) is not None:
        props["$tag"] = tag
    path = text(said.get("pathname"))
    if kind == "form_submit":
        props |= {"path": path, "form": text(props.get("formName")) or text(props.get("formId"))}
    fields: Object = {"name": name, "site": _site(said), "props": props, "referrer": text(said.get("referrer"))}
    if (host := text(said.get("hostname"))) is not None:
        fields["url"] = f"https://{host}{_path(path, text(said.get('querystring')))}"
    fields |= {"title": text(said.get("page_title")), "language": text(said.get("language"))}
    width, height = number(said.get("screenWidth")), number(said.get("screenHeight"))
    if width is not None and height is not None:
        fields["screen"] = (width, height)
    if kind == "performance":
        fields["vitals"] = {vital: value for vital in VITALS if (value := number(said.get(vital))) is not None}
    return event_of(
        fields | {"user": text(said.get("user_id")), "visitor": text(said.get("anonymous_id"))} | _client(said)
    )


def _path(path: str | None, query: str | None) -> str:
    """Returns path and query. The path has its fragment behind it, which belongs behind the query."""
    before, hash_, fragment = (path or "/").partition("#")
    asked = f"?{query.removeprefix('?')}" if query else ""
    return f"/{before.removeprefix('/')}{asked}{hash_}{fragment}"


def _site(said: Object) -> str:
    return key_of("rybbit", text(said.get("site_id")) or "")


def _client(said: Object) -> Object:
    """Returns what a server says of its visitor, which has an effect with a server key only."""
    return {"ip": text(said.get("ip_address")), "user_agent": text(said.get("user_agent"))}
