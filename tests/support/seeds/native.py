"""Good requests of Forebay's own dialect."""

from __future__ import annotations

from tests.support.seeds import TEXT, Seed

EVENT = {
    "name": "signup", "url": "https://example.com/a?utm_source=x#b", "site": "example.com", "referrer": "https://a.example/",
    "title": "T", "language": "de", "screen": [1920, 1080], "props": {"plan": "pro", "deep": {"x": [1, None]}},
    "revenue": {"amount": "9.90", "currency": "EUR"}, "engaged_ms": 5, "scroll_pct": 40.5, "vitals": {"lcp": 1.5},
    "id": "i", "ts": 1_798_718_400_000, "sent_at": 1_798_718_400_000, "user": "u", "visitor": "v", "session": "s",
    "ip": "192.0.2.1", "user_agent": "x", "auto": 1,
}  # fmt: skip

SEEDS = (
    Seed("native", "POST", "/f", body=EVENT, status=202),
    Seed("native", "POST", "/f", TEXT, body=[EVENT, {"url": "https://example.com/"}], rows=2, status=202),
    Seed(
        "native",
        "GET",
        "/f.gif?name=signup&url=https://example.com/&p.plan=pro&props=%7B%7D&screen=1x2&ts=1798718400000",
    ),
)
