"""Good requests of Mixpanel's clients: a form of browsers, a query of Node.js, JSON of imports, profiles."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

from tests.support.seeds import FORM, Seed

KEYS = ("mixpanel:TOKEN",)
REFUSALS = (400, 401, 408, 413, 415)
NOON = 1_798_718_400
PAGE = {
    "event": "$mp_web_page_view",
    "properties": {
        "token": "TOKEN", "distinct_id": "$device:d", "$device_id": "d", "$insert_id": "i", "time": NOON + 0.5, "mp_lib": "web",
        "$current_url": "https://example.com/a?utm_source=x#b", "$referrer": "https://a.example/", "$screen_width": 800,
        "$screen_height": 600, "current_page_title": "T", "plan": {"tier": ["pro", None]}, "$user_id": "u",
    },
}  # fmt: skip
PAID = {
    "event": "Order",
    "properties": {
        "token": "TOKEN",
        "distinct_id": "u",
        "$insert_id": "j",
        "time": NOON,
        "revenue": 9.9,
        "currency": "EUR",
    },
}
KNOWN = {
    "event": "$identify",
    "properties": {
        "token": "TOKEN",
        "distinct_id": "u",
        "$anon_distinct_id": "$device:d",
        "$insert_id": "k",
        "time": NOON,
    },
}
JOINED = {
    "event": "$merge",
    "properties": {"token": "TOKEN", "$distinct_ids": ["a", "b"], "$insert_id": "l", "time": str(NOON)},
}
CHARGE = {
    "$token": "TOKEN",
    "$distinct_id": "u",
    "$time": NOON,
    "$append": {"$transactions": {"$amount": 9.9, "sku": "A"}},
}


def coded(said: object) -> str:
    return base64.b64encode(json.dumps(said).encode()).decode()


SEEDS = (
    Seed(
        "mixpanel", "POST", "/import?strict=0", body=[PAGE, PAID, KNOWN, JOINED], rows=4, keys=KEYS, refusals=REFUSALS
    ),
    Seed(
        "mixpanel",
        "POST",
        f"/track/?verbose=1&ip=1&_={NOON}000",
        FORM,
        raw=b"data=" + quote(coded([PAGE, PAID]), safe="").encode(),
        rows=2,
        keys=KEYS,
        refusals=REFUSALS,
    ),
    Seed("mixpanel", "GET", f"/track?ip=0&verbose=0&data={quote(coded(PAID))}", (), keys=KEYS, refusals=REFUSALS),
    Seed(
        "mixpanel",
        "POST",
        "/engage",
        body=[CHARGE, {"$token": "TOKEN", "$set": {"a": 1}}],
        keys=KEYS,
        refusals=REFUSALS,
    ),
)
