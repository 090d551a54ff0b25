"""Good requests of Umami's clients."""

from __future__ import annotations

from typing import Any

from tests.support.seeds import JSON, Seed

WEBSITE = "50429a93-8479-4073-be80-d5d29c09c2ec"
KEYS = (f"umami:{WEBSITE}",)
REFUSALS = (200, 400, 413, 415)  # 200 to what its site does not want
PAGE: dict[str, Any] = {
    "website": WEBSITE, "screen": "1920x1080", "language": "en-US", "title": "Pricing", "hostname": "example.com",
    "url": "https://example.com/pricing?utm_source=x#plans", "referrer": "/before", "tag": "variant-a",
}  # fmt: skip
BOUGHT = {
    "type": "event",
    "payload": PAGE | {"name": "purchase", "data": {"sku": "A-1", "revenue": 49.9, "currency": "EUR"}},
}
KNOWN = {"type": "identify", "payload": PAGE | {"id": "user-42", "data": {"plan": "pro"}}}
QUICK = {
    "type": "performance",
    "payload": PAGE | {"lcp": 1834.5, "inp": 48, "cls": 0.02, "fcp": 901.2, "ttfb": 120.4, "duration": 10_002},
}
BATCH = [
    {"type": "event", "payload": PAGE | {"timestamp": 1_798_718_400, "ip": "203.0.113.7", "userAgent": "x"}},
    {"type": "event", "payload": {"website": WEBSITE, "url": "/b", "name": "x"}},
    {"type": "error", "payload": {"website": WEBSITE}},
]
SEEDS = (
    Seed("umami", "POST", "/api/send", JSON, body=BOUGHT, keys=KEYS, refusals=REFUSALS),
    Seed("umami", "POST", "/api/send", JSON, body=KNOWN, keys=KEYS, refusals=REFUSALS),
    Seed("umami", "POST", "/api/send", JSON, body=QUICK, keys=KEYS, refusals=REFUSALS),
    Seed("umami", "POST", "/api/batch", JSON, body=BATCH, rows=2, keys=KEYS, refusals=REFUSALS),
)
