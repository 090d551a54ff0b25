"""Reads and answers Plausible's clients: scripts of all ages, both npm packages, and its events API (docs/compatibility-plausible.md).

Keys are short in scripts (`n`, `u`, `d`) and long in the API (`name`, `url`, `domain`); both are read everywhere. JSON comes as
text/plain, because browsers then send no preflight. `d` may be a list of domains with commas: an event for each.

No client of Plausible sends anything again, whatever it is told, and none numbers its events or visitors.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ingest.dialects.coding import text_of
from ingest.dialects.contract import RETRY_AFTER, STATUS, Answer, Decoded, Fates, Item, Unsupported
from ingest.dialects.credentials import bearer, server_key
from ingest.dialects.event import Event, Limits, Revenue, revenue_e4
from ingest.dialects.reading import Object, embedded, event_of, number, object_of, text
from ingest.dialects.request import Head, Rejected
from ingest.fates import UNWANTED, Reason, Shed
from schemas.reasons import EXPLAINED

TEXT_TYPE = (b"content-type", b"text/plain; charset=utf-8")
JSON_TYPE = (b"content-type", b"application/json; charset=utf-8")
OK = Answer(202, (TEXT_TYPE,), b"ok")
# Plausible answers these as if they had been taken, and drops them.
DROPPED = UNWANTED | {Reason.UNKNOWN_SITE}
DOMAINS_MAX = 20  # in one request: each is an event
SCROLL_MAX = 100  # percent; scripts send 255 if they do not know it
FAULTY = {Reason.MISSING_URL: "url", Reason.INVALID_URL: "url", Reason.URL_TOO_LONG: "url"}
FAULTY |= {Reason.INVALID_NAME: "event_name", Reason.NAME_TOO_LONG: "event_name"}

_encode = msgspec.json.Encoder().encode


class Plausible:
    """Reads and answers `POST /api/event`."""

    name = "plausible"
    route = "/api/event"
    owns_visitors = False

    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    def decode(self, head: Head, body: bytes) -> Decoded:
        """Returns the event of a body, once for each of its domains. Raises Rejected."""
        plain = text_of(body, head.coding, self.limits.body_bytes_max)
        if len(plain) > self.limits.event_bytes_max:
            raise Rejected(Reason.EVENT_TOO_LARGE)
        said = object_of(plain)
        credential = server_key(bearer(head))
        client = _client(head) if credential else {}
        items: list[Item] = [_event(said, site, client) for site in _domains(said)]
        if any(isinstance(item, Event) for item in items):
            items += _unsupported(said)
        return Decoded(items, True, len(plain), credential=credential)

    def answer(self, head: Head, decoded: Decoded, fates: Fates) -> Answer:
        """Says `ok` to an event, also to one that is dropped because the site leaves it out, with how many were."""
        rejected = [fate for fate in fates if fate is not None]
        if not rejected:
            return OK
        if len(rejected) == sum(not isinstance(item, Unsupported) for item in decoded.items):
            wrong = next((reason for reason in rejected if reason not in DROPPED), None)
            if wrong is not None:
                return self.refusal(head, wrong)
        return Answer(202, (TEXT_TYPE, (b"x-plausible-dropped", b"%d" % len(rejected))), b"ok")

    def refusal(self, _head: Head, reason: Reason) -> Answer:
        """Names the field that is wrong, as Plausible does."""
        if reason in DROPPED:
            return Answer(202, (TEXT_TYPE, (b"x-plausible-dropped", b"1")), b"ok")
        status = STATUS.get(reason, 400)
        body = _encode({"errors": {FAULTY.get(reason, "request"): [EXPLAINED[reason]]}})
        return Answer(status, (JSON_TYPE, *RETRY_AFTER) if status == 503 else (JSON_TYPE,), body)

    def shed(self, _reason: Shed) -> Answer:
        return Answer(503, (TEXT_TYPE, *RETRY_AFTER), b"try again")


def _either(said: Object, *names: str) -> Any:
    """Returns the first of these fields that says something."""
    return next((value for name in names if (value := said.get(name)) is not None), None)


def _domains(said: Object) -> list[str | None]:
    """Returns the names of the sites; None stands for the host of the url. Raises Rejected."""
    domains = _either(said, "d", "domain")
    if not isinstance(domains, str):
        return [None]
    names: list[str | None] = [name.strip() for name in domains.split(",")]
    if not all(names):
        raise Rejected(Reason.INVALID_FIELD)
    if len(names) > DOMAINS_MAX:
        raise Rejected(Reason.TOO_MANY_EVENTS)
    return list(dict.fromkeys(names))


def _event(said: Object, site: str | None, client: Object) -> Event | Reason:
    name, url = text(_either(said, "n", "name")), _either(said, "u", "url")
    if name is None:
        return Reason.INVALID_NAME
    if not url:
        return Reason.MISSING_URL
    if isinstance(url, str) and url[:5].lower() == "data:":
        return Reason.INVALID_URL
    fields: Object = {"name": name, "url": url, "site": site, "referrer": _either(said, "r", "referrer")} | client
    props = {key: value for key, value in _props(said).items() if value not in ("", None)}
    if _either(said, "i", "interactive") is False:
        props.setdefault("interactive", False)
    fields["props"] = props
    if (revenue := _revenue(said)) is not None and revenue_e4(revenue) is not None:
        fields["revenue"] = revenue
    if name == "engagement":
        fields["engaged_ms"] = number(said.get("e"))
        deep = number(said.get("sd"))
        fields["scroll_pct"] = deep if deep is not None and deep <= SCROLL_MAX else None
    if (width := number(said.get("w"))) is not None:
        fields["screen"] = (width, 0)  # of the window: by it Plausible tells devices apart, as `screen_class` does
    return event_of(fields)


def _client(head: Head) -> Object:
    """Returns the address and the agent that a server says in the name of its visitor, as it does for Plausible."""
    address = head.fields.get(b"x-plausible-ip") or head.fields.get(b"x-forwarded-for", b"").partition(b",")[0]
    agent = head.fields.get(b"user-agent", b"")
    return {"ip": address.strip().decode("latin-1") or None, "user_agent": agent.decode("latin-1") or None}


def _props(said: Object) -> Object:
    """Returns the properties, which old scripts send as JSON within JSON."""
    return embedded(_either(said, "m", "meta", "p", "props"))


def _revenue(said: Object) -> Revenue | None:
    """Returns the revenue; None if there is none, as in the empty object that scripts send with each tagged element."""
    money = embedded(_either(said, "$", "revenue"))
    amount, currency = money.get("amount"), money.get("currency")
    if isinstance(amount, str | int | float) and not isinstance(amount, bool) and isinstance(currency, str):
        return Revenue(amount, currency)
    return None


def _unsupported(said: Object) -> list[Item]:
    """Names what an event says that it can't keep: money that is no amount in a currency. The event counts without it."""
    revenue = _revenue(said)
    is_lost = revenue_e4(revenue) is None if revenue is not None else bool(embedded(_either(said, "$", "revenue")))
    return [Unsupported("revenue")] if is_lost else []
