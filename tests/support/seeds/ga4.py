"""Good requests of Google Analytics 4: hits of gtag.js, and the Measurement Protocol."""

from __future__ import annotations

from urllib.parse import urlencode

from tests.support.seeds import JSON, TEXT, Seed

KEYS = ("ga4:G-1",)
NOON = 1_798_718_400
HIT = {
    "v": 2, "tid": "G-1", "cid": "123.456", "sid": NOON, "_p": 17, "_s": 1, "dl": "https://example.com/a?utm_source=x",
    "dr": "https://a.example/", "dt": "T", "ul": "en-us", "sr": "1920x1080",
}  # fmt: skip
BOUGHT = {
    "name": "purchase",
    "params": {
        "transaction_id": "T-1", "value": 29.97, "currency": "EUR", "session_id": str(NOON), "engagement_time_msec": 100,
        "items": [{"item_id": "A", "price": 9.99, "quantity": 3}], "page_location": "https://example.com/thanks",
    },
}  # fmt: skip

SEEDS = (
    Seed(
        "ga4",
        "GET",
        "/g/collect?" + urlencode(HIT | {"en": "sign_up", "ep.plan": "pro", "epn.seats": 3}),
        (),
        status=204,
        keys=KEYS,
    ),
    Seed(
        "ga4",
        "POST",
        "/g/collect?" + urlencode(HIT),
        TEXT,
        raw=b"en=page_view\r\nen=scroll&epn.percent_scrolled=90&_et=5000\r\nen=session_start",
        rows=2,
        status=204,
        keys=KEYS,
    ),
    Seed(
        "ga4",
        "POST",
        "/mp/collect?measurement_id=G-1&api_secret=x",
        JSON,
        body={
            "client_id": "123.456",
            "user_id": "u",
            "timestamp_micros": str(NOON * 1_000_000),
            "events": [BOUGHT, {"name": "sign_up", "params": {"method": "mail"}, "timestamp_micros": NOON * 1_000_000}],
        },
        rows=2,
        status=204,
        keys=KEYS,
    ),
)
