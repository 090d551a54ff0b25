"""Good requests of Plausible's clients."""

from __future__ import annotations

from typing import Any

from tests.support.seeds import JSON, TEXT, Seed

# Whatever nobody wants here is answered as taken, and counted as dropped.
REFUSALS = (202, 400, 413, 415)
SCRIPT: dict[str, Any] = {
    "n": "Purchase", "v": 36, "u": "https://example.com/pricing?utm_source=x#plans", "d": "example.com",
    "r": "https://a.example/", "p": {"sku": "A-1", "seats": 3}, "i": False, "$": {"amount": 49.9, "currency": "EUR"},
}  # fmt: skip
READ = {
    "n": "engagement",
    "sd": 74,
    "d": "example.com",
    "u": "https://example.com/pricing",
    "p": {"plan": "free"},
    "e": 12_345,
    "v": 36,
}
OLD = {
    "n": "Signup",
    "u": "https://example.com/",
    "d": "example.com",
    "r": None,
    "w": 1024,
    "h": 0,
    "p": '{"plan":"pro","n":3}',
}
API = {
    "name": "pageview", "url": "app://localhost/login", "domain": "example.com", "referrer": "https://a.example/",
    "props": {"plan": "pro"}, "revenue": {"amount": "12.50", "currency": "USD"}, "interactive": True,
}  # fmt: skip
SEEDS = (
    Seed("plausible", "POST", "/api/event", TEXT, body=SCRIPT, status=202, refusals=REFUSALS),
    Seed("plausible", "POST", "/api/event", TEXT, body=READ, status=202, refusals=REFUSALS),
    Seed("plausible", "POST", "/api/event", TEXT, body=OLD, status=202, refusals=REFUSALS),
    Seed("plausible", "POST", "/api/event", JSON, body=API, status=202, refusals=REFUSALS),
)
