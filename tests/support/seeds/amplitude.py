"""Good requests of Amplitude's clients: browsers and servers, and amplitude-js, which writes a form."""

from __future__ import annotations

import json
from urllib.parse import urlencode

from tests.support.seeds import FORM, Seed

KEYS = ("amplitude:KEY",)
REFUSALS = (400, 408, 413)
NOON = 1_798_718_400_000
PAGE = {
    "device_id": "d", "user_id": "u", "session_id": NOON, "time": NOON, "insert_id": "i", "event_id": 1, "platform": "Web",
    "language": "en-US", "ip": "$remote", "user_agent": "x", "library": "amplitude-ts/2.48.1",
    "event_type": "[Amplitude] Page Viewed",
    "event_properties": {
        "[Amplitude] Page Location": "https://example.com/a?utm_source=x", "[Amplitude] Page Title": "T",
        "[Amplitude] Previous Page Location": "https://a.example/", "utm_source": "x", "plan": {"tier": ["pro", None]},
    },
}  # fmt: skip
PAID = {
    "event_type": "revenue_amount", "user_id": "u", "time": NOON, "insert_id": "j", "groups": {"org": "acme"},
    "event_properties": {"$price": 9.99, "$quantity": 3, "$currency": "EUR", "$revenueType": "refund"},
}  # fmt: skip
KNOWN = {
    "event_type": "$identify", "user_id": "u", "device_id": "d", "time": NOON, "insert_id": "k",
    "user_properties": {"$set": {"color": "red"}, "$setOnce": {"initial_referrer": "EMPTY"}, "$unset": {"a": "-"}},
}  # fmt: skip
VITALS = {
    "event_type": "[Amplitude] Web Vitals", "device_id": "d", "time": NOON, "insert_id": "l",
    "event_properties": {"[Amplitude] LCP": {"value": 1200.5, "rating": "good"}, "[Amplitude] CLS": {"value": 0.1}},
}  # fmt: skip
OLD = {
    "event_type": "Old",
    "device_id": "d",
    "timestamp": NOON,
    "uuid": "m",
    "session_id": -1,
    "event_properties": {"a": 1},
}


def body(*events: object) -> dict[str, object]:
    return {"api_key": "KEY", "events": list(events), "client_upload_time": "2026-12-31T12:00:00.000Z", "options": {}}


SEEDS = (
    Seed("amplitude", "POST", "/2/httpapi", body=body(PAGE, PAID, KNOWN), rows=3, keys=KEYS, refusals=REFUSALS),
    Seed(
        "amplitude", "POST", "/batch", body=body(VITALS, {"event_type": "session_start"}), keys=KEYS, refusals=REFUSALS
    ),
    Seed(
        "amplitude",
        "POST",
        "/httpapi",
        FORM,
        raw=urlencode({"client": "KEY", "e": json.dumps([OLD]), "upload_time": NOON, "v": 2}).encode(),
        keys=KEYS,
        refusals=REFUSALS,
    ),
    Seed(
        "amplitude",
        "POST",
        "/groupidentify",
        FORM,
        raw=urlencode({"api_key": "KEY", "identification": json.dumps([{"groups": {"org": "a"}}])}).encode(),
        keys=KEYS,
        refusals=REFUSALS,
    ),
)
