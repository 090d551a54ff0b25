"""Good requests of Rybbit's clients."""

from __future__ import annotations

from typing import Any

from tests.support.seeds import JSON, Seed

KEYS = ("rybbit:abc123",)
REFUSALS = (200, 400, 401, 404, 413, 415)  # 200 to what its site does not want
PAGE: dict[str, Any] = {
    "site_id": "abc123", "type": "pageview", "hostname": "example.com", "pathname": "/pricing#plans", "querystring": "?utm_source=x",
    "screenWidth": 1920, "screenHeight": 1080, "language": "en-US", "page_title": "Pricing", "referrer": "https://a.example/",
    "user_id": "ada", "anonymous_id": "d-1", "tag": "a", "ip_address": "203.0.113.7", "user_agent": "x",
}  # fmt: skip
CUSTOM = PAGE | {"type": "custom_event", "event_name": "Signup", "properties": '{"plan":"pro"}'}
QUICK = PAGE | {
    "type": "performance",
    "event_name": "web-vitals",
    "lcp": 1.5,
    "cls": None,
    "inp": 2,
    "fcp": 3,
    "ttfb": 4,
}
SEEDS = (
    Seed("rybbit", "POST", "/api/track", JSON, body=PAGE, keys=KEYS, refusals=REFUSALS),
    Seed("rybbit", "POST", "/api/track", JSON, body=CUSTOM, keys=KEYS, refusals=REFUSALS),
    Seed("rybbit", "POST", "/api/track", JSON, body=QUICK, keys=KEYS, refusals=REFUSALS),
    Seed(
        "rybbit", "POST", "/api/identify", JSON, body={"site_id": "abc123", "user_id": "ada", "traits": {"plan": "pro"}},
        keys=KEYS, refusals=REFUSALS,
    ),
)  # fmt: skip
