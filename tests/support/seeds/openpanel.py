"""Good requests of OpenPanel's clients."""

from __future__ import annotations

from typing import Any

from tests.support.seeds import JSON, Fields, Seed

CLIENT = "8e1ad5ab-9c7c-4c62-9b1d-2f6a3c1f6d5e"
KEYS = (f"openpanel:{CLIENT}",)
HEADERS: Fields = (*JSON, (b"openpanel-client-id", CLIENT.encode()), (b"openpanel-sdk-name", b"web"))
REFUSALS = (200, 401)
PAGE: dict[str, Any] = {
    "type": "track",
    "payload": {
        "name": "screen_view", "profileId": "ada",
        "properties": {
            "__referrer": "https://a.example/", "__path": "https://example.com/pricing?utm_source=x", "__title": "Pricing",
            "plan": "pro",
        },
    },
}  # fmt: skip
SOLD = {
    "type": "track",
    "payload": {
        "name": "revenue",
        "properties": {"__revenue": 2997, "__deviceId": "d-1", "order": "T-1", "currency": "EUR"},
    },
}
KNOWN = {
    "type": "identify",
    "payload": {"profileId": 42, "firstName": "Ada", "email": "a@b.example", "properties": {"plan": "pro"}},
}
GROUPED = {"type": "group", "payload": {"id": "acme", "type": "company", "name": "Acme", "properties": {"seats": 3}}}

SEEDS = (
    Seed("openpanel", "POST", "/track", HEADERS, body=PAGE, keys=KEYS, refusals=REFUSALS),
    Seed("openpanel", "POST", "/api/track", HEADERS, body=SOLD, keys=KEYS, refusals=REFUSALS),
    Seed("openpanel", "POST", "/track", HEADERS, body=KNOWN, keys=KEYS, refusals=REFUSALS),
    Seed("openpanel", "POST", "/api/track", HEADERS, body=GROUPED, keys=KEYS, refusals=REFUSALS),
)
