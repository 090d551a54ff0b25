"""Reads and answers Mixpanel's clients: mixpanel-browser, mixpanel for Node.js, and mixpanel for Python.

    /track, /track/      events; a form or a query whose field `data` is JSON, or base64 of it
    /engage, /groups     what is said of profiles and of groups, in the same forms
    /import              the same again, or JSON or lines of JSON as a body, mostly in gzip: events of any age

What events mean is in mixpanel_events.py.

The browser drops what is answered with 200 or 4xx, whatever the words are, and halves its batches after 413. It sends again,
later each time, what is answered 429 or 5xx. Python does so too, over https, and raises whatever is not `"status": 1`. Node.js
sends everything once. The answer is `1`, or JSON where the client asks for `verbose`. What is refused is always explained in
JSON, because a refused body may not have been read for that field, and Python must find JSON.

Not promised: JSONP, and `redirect`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import Raw

from ingest.dialects.answers import JSON_TYPE, json_answer
from ingest.dialects.coding import form_of, from_base64, mended, sniffed, uncrowded, unescaped
from ingest.dialects.contract import (
    STATUS,
    Answer,
    Decoded,
    Endpoint,
    Fates,
    Item,
    Unsupported,
    are_many,
    refused_whole,
)
from ingest.dialects.credentials import basic, server_key
from ingest.dialects.event import Event, Limits, clean
from ingest.dialects.mixpanel_events import FAMILY, Plain, Said, items_of, profile_of, site_of
from ingest.dialects.native import GIF, PICTURE
from ingest.dialects.pieces import PIECE_BYTES, Large, Pieces, runs
from ingest.dialects.reading import Moment, decoded, item_by, moment_ms, require_some
from ingest.dialects.request import Head, Rejected
from ingest.fates import UNWANTED, Reason, Shed
from schemas.reasons import EXPLAINED

TAKEN = Answer(200, (JSON_TYPE,), b"1")
TAKEN_VERBOSE = Answer(200, (JSON_TYPE,), b'{"status":1,"error":null}')
TAKEN_PICTURE = Answer(200, PICTURE, GIF)
BODY_BYTES_MAX, EVENTS_MAX, ID_CHARS_MAX = 10 << 20, 2_000, 255
FIELDS_MAX = 20
ALONE_BYTES = 2 << 10  # what an event that comes alone has at most, mostly
PLAIN_CHARS_MAX = 100  # of a query whose fields need not be counted
NO = frozenset(("", "0", "false"))
STATUSES = {**STATUS, **dict.fromkeys(UNWANTED, 200), Reason.UNKNOWN_SITE: 401, Reason.TOO_MANY_EVENTS: 413}
STATUS_NAMES = {
    400: "Bad Request", 401: "Unauthorized", 413: "Request Entity Too Large", 429: "Too Many Requests", 503: "Service Unavailable",
}  # fmt: skip

_has_data = re.compile(rb"(?:^|&)data=").search
_each = msgspec.json.Decoder(list[msgspec.Raw]).decode
_any = msgspec.json.Decoder().decode
_plain = msgspec.json.Decoder(list[Plain]).decode
_said = msgspec.json.Decoder(list[Said]).decode


def _events(text: bytes) -> list[Plain] | list[Said]:
    """Returns an array's events. Raises what msgspec raises.

    To know all names before saves a third of reading several events. To fail at one costs as much as that saves of another.
    """
    if len(text) > ALONE_BYTES:
        with contextlib.suppress(msgspec.ValidationError):
            return _plain(text)
    return _said(text)


class Asked(Decoded, frozen=True, gc=False):
    """Holds beside the events in which form their client wants its answer."""

    is_verbose: bool = False
    is_picture: bool = False
    is_plain: bool = False  # the body was no form: of /import, this is how the documented API is used
    is_strict: bool = True


class Mixpanel(Large):
    """Reads and answers `/track`."""

    name = FAMILY
    route = "/track/"
    owns_visitors = True
    # How its events are decoded: many at once, and one.
    _many: Callable[[bytes], list[Any]] = staticmethod(_events)
    _one: Callable[[Raw], Any] = staticmethod(msgspec.json.Decoder(Said).decode)

    def __init__(self, limits: Limits) -> None:
        self.limits = limits.of_family(BODY_BYTES_MAX, EVENTS_MAX, ID_CHARS_MAX)

    def pieces(self, head: Head, body: bytes) -> Pieces[Asked]:
        asked = _fields(head.query.decode("latin-1")) if head.query else {}
        text = sniffed(body, head.coding, self.limits.body_bytes_max) if body else b""
        if len(text) > PIECE_BYTES:
            yield len(text)
        is_plain = text[:8].lstrip()[:1] in {b"{", b"["}
        if not is_plain:
            data, more = _form(text)
            asked |= more
            text = data or asked.get("data", "").encode("utf-8", "replace")
            if len(text) > PIECE_BYTES:
                yield len(text)
            text = _unwrapped(text)
            if len(text) > PIECE_BYTES:
                yield len(text)
        if b"\\" in text:
            text = mended(text)
        token, sent_at = asked.get("token") or asked.get("project_id", ""), moment_ms(asked.get("_"))
        items: list[Item] = []
        key = ""
        for piece in pieces_of(text, self._many, self._one):
            if items:
                yield len(text)
            items += self._items(piece, token, sent_at)
            key = key or self._token(piece)
        require_some(items, self.limits)
        key = key or token
        credential = ""
        if b"authorization" in head.fields or "api_key" in asked or ":" in key:
            user, password = basic(head)
            credential = server_key(key.partition(":")[2], password, user, asked.get("api_key", ""))
        return Asked(
            items,
            are_many(items),
            len(text),
            credential=credential,
            site=site_of(key) if key else "",
            is_verbose=asked.get("verbose", "") not in NO,
            is_picture=asked.get("img", "") not in NO,
            is_plain=is_plain,
            is_strict=asked.get("strict", "1") not in NO,
        )

    def _items(self, said: Sequence[Any], token: str, sent_at: Moment) -> list[Item]:
        return items_of(said, token, sent_at)

    def _token(self, said: Sequence[Any]) -> str:
        """Returns the site's key that the first event says which has one, or ""."""
        for one in said:
            if isinstance(one, Reason):
                continue
            token = one.properties.token if isinstance(one, Plain) else one.properties.get("token")
            if type(token) is str and token:
                return token
        return ""

    def answer(self, head: Head, decoded: Decoded, fates: Fates) -> Answer:
        """Answers 200 if something was taken or nothing was wanted."""
        wrong = refused_whole(fates)
        if wrong:
            return self.refusal(head, wrong[0])
        assert isinstance(decoded, Asked)
        if decoded.is_picture:
            return TAKEN_PICTURE
        return TAKEN_VERBOSE if decoded.is_verbose else TAKEN

    def refusal(self, _head: Head, reason: Reason) -> Answer:
        status = STATUSES.get(reason, 400)
        said = {"status": 0, "error": EXPLAINED[reason], "code": status}
        return json_answer(status, said)

    def shed(self, reason: Shed) -> Answer:
        return json_answer(503, {"status": 0, "error": reason, "code": 503})


class MixpanelProfiles(Mixpanel):
    """Reads and answers `/engage` and `/groups`."""

    _many = staticmethod(msgspec.json.Decoder(list[Any]).decode)
    _one = staticmethod(msgspec.json.Decoder(Any).decode)

    def __init__(self, limits: Limits, where: str) -> None:
        super().__init__(limits)
        self.where = where
        self.route = f"/{where}/"

    def _items(self, said: Sequence[Any], token: str, _sent_at: Moment) -> list[Item]:
        return [one if isinstance(one, Reason) else profile_of(one, self.where, token) for one in said]

    def _token(self, said: Sequence[Any]) -> str:
        tokens = (one.get("$token") for one in said if isinstance(one, dict))
        return next((one for one in tokens if type(one) is str and one), "")


class MixpanelImport(Mixpanel):
    """Reads and answers `/import`, which says of each event why it is not taken."""

    route = "/import"

    def answer(self, head: Head, decoded: Decoded, fates: Fates) -> Answer:
        assert isinstance(decoded, Asked)
        taken = fates.count(None)
        failed = [
            {"index": at, "$insert_id": _id(decoded.items[at]), "field": reason, "message": EXPLAINED[reason]}
            for at, reason in enumerate(fates)
            if reason is not None and reason not in UNWANTED
        ]
        if not decoded.is_plain or (Reason.UNKNOWN_SITE in fates and not taken):
            return super().answer(head, decoded, fates)
        said: dict[str, Any] = {"code": 200, "num_records_imported": taken, "status": "OK"}
        if failed and (decoded.is_strict or not taken):
            said |= {"code": 400, "status": "Bad Request", "failed_records": failed}
            said["error"] = "some data points in the request failed validation"
        return json_answer(said["code"], said)

    def refusal(self, head: Head, reason: Reason) -> Answer:
        status = STATUSES.get(reason, 400)
        if status not in STATUS_NAMES:
            return super().refusal(head, reason)
        return json_answer(status, {"code": status, "error": EXPLAINED[reason], "status": STATUS_NAMES[status]})


class MixpanelEndpoint(Endpoint):
    """Answers what a client asks for beside its events: there are no feature flags, and nothing is set from afar."""

    name = FAMILY

    def __init__(self, limits: Limits, route: str, said: bytes) -> None:
        super().__init__(limits)
        self.route = route
        self._answer = Answer(200, (JSON_TYPE, (b"cache-control", b"no-store")), said)

    def answer(self, _head: Head, _decoded: Decoded, _fates: Fates) -> Answer:
        return self._answer


class MixpanelRecord(MixpanelEndpoint):
    """Answers recordings of sessions, which are not kept: counted, and taken for sent."""

    RECORDING = Decoded([Unsupported("record")], True, 0)

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits, "/record/", b'{"code":200,"status":"OK"}')

    def decode(self, _head: Head, _body: bytes) -> Decoded:
        return self.RECORDING


def flags(limits: Limits) -> MixpanelEndpoint:
    return MixpanelEndpoint(limits, "/flags/", b'{"flags":{}}')


def settings(limits: Limits) -> MixpanelEndpoint:
    return MixpanelEndpoint(limits, "/settings/", b"{}")


def pieces_of(
    text: bytes, many: Callable[[bytes], list[Any]], one: Callable[[Raw], Any]
) -> Iterable[Sequence[Any | Reason]]:
    """Returns the items of JSON, or of lines of JSON, a piece of work each. Raises Rejected.

    A reason stands in the place of an item that is at fault.
    """
    items: Sequence[Raw]
    if text[:8].lstrip()[:1] == b"[":
        if len(text) <= PIECE_BYTES:
            try:
                return [_few(many(text))]
            except (ValueError, RecursionError):  # to read each alone finds what is wrong, and keeps the rest
                pass
        items = _few(decoded(_each, text))
    else:
        first = item_by(one, text.lstrip())
        if first is not Reason.MALFORMED_JSON:
            return [[first]]
        items = _few([Raw(line) for line in text.split(b"\n") if line.strip()])
        if len(items) < 2 or bytes(memoryview(items[0])).lstrip()[:1] != b"{":
            raise Rejected(Reason.MALFORMED_JSON)
    return ([item_by(one, item) for item in run] for run in runs(items))


def _few(items: list[Any]) -> list[Any]:
    """Returns items that are not too many, before a million of them are looked at. Raises Rejected."""
    if len(items) > EVENTS_MAX:
        raise Rejected(Reason.TOO_MANY_EVENTS)
    return items


def _fields(said: str) -> dict[str, str]:
    """Returns the fields of a query or a form. Raises Rejected if there are too many."""
    if "%" not in said and "+" not in said and len(said) <= PLAIN_CHARS_MAX:  # as browsers write a query
        return {name: value for name, _, value in (pair.partition("=") for pair in said.split("&"))}
    try:
        return {name: clean(value) for name, value in parse_qsl(said, max_num_fields=FIELDS_MAX)}
    except ValueError:
        raise Rejected(Reason.MALFORMED_JSON) from None


def _form(text: bytes) -> tuple[bytes, dict[str, str]]:
    """Returns what a form has in `data`, and its other fields. A body that is no form is taken for the data itself."""
    if not _has_data(text):
        return text, {}
    if text.startswith(b"data=") and b"&" not in text:  # what browsers send
        return unescaped(text[5:]), {}
    form = form_of(text, FIELDS_MAX)
    return form.pop("data", b""), {name: clean(value.decode("utf-8", "replace")) for name, value in form.items()}


def _unwrapped(data: bytes) -> bytes:
    """Returns the JSON of a field `data`. Raises Rejected."""
    begins = data[:8].lstrip()[:1]
    if not begins:
        raise Rejected(Reason.EMPTY_BODY)
    if begins not in {b"{", b"["}:
        if begins == b'"':  # JSON in JSON
            said = decoded(_any, data)
            data = said.encode("utf-8", "replace") if isinstance(said, str) else b""
        else:
            try:
                data = from_base64(data)
            except Rejected:
                raise Rejected(Reason.MALFORMED_JSON) from None
    return uncrowded(data)


def _id(item: Item) -> str | None:
    return item.id if isinstance(item, Event) else None
