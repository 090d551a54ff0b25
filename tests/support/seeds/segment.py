"""Good requests of the clients that write Segment's messages."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import msgspec

from tests.support.seeds import JSON, TEXT, Seed

KEYS = ("segment:WK1",)
BASIC = (b"authorization", b"Basic " + base64.b64encode(b"WK1:"))
CONTEXT = {
    "page": {"url": "https://example.com/a?utm_source=x", "path": "/a", "referrer": "https://a.example/", "title": "T"},
    "screen": {"width": 1920, "height": 1080}, "app": {"namespace": "com.example.app"}, "locale": "de", "userAgent": "x",
    "ip": "192.0.2.1", "sessionId": 7, "library": {"name": "analytics.js", "version": "npm:next-1.84.3"},
}  # fmt: skip
VIEW: dict[str, Any] = {
    "type": "page", "name": "Prices", "category": "Docs", "properties": {"url": "https://example.com/b", "plan": "pro"},
    "context": CONTEXT, "messageId": "m-1", "anonymousId": "n-1", "userId": None, "timestamp": "2026-12-31T12:00:00.000Z",
    "sentAt": "2026-12-31T12:00:01.000Z", "writeKey": "WK1", "integrations": {},
}  # fmt: skip
BOUGHT = {
    "type": "track", "event": "Order Completed", "properties": {"total": 20, "currency": "EUR", "products": [{"sku": "A"}]},
    "messageId": "m-2", "userId": "ada", "context": CONTEXT,
}  # fmt: skip
BATCH = {
    "batch": [
        VIEW,
        BOUGHT,
        {"type": "identify", "userId": "ada", "anonymousId": "n-1", "traits": {"email": "a@b.c"}, "messageId": "m-3"},
        {"type": "alias", "userId": "ada", "previousId": "n-1", "messageId": "m-4"},
        {"type": "group", "userId": "ada", "groupId": "acme", "traits": {"size": 9}, "messageId": "m-5"},
        {"type": "screen", "userId": "ada", "name": "Home", "context": CONTEXT, "messageId": "m-6"},
        {"type": "video", "userId": "ada"},
    ],
    "writeKey": "WK1",
    "sentAt": "2026-12-31T12:00:01.000Z",
}

SEEDS = (
    Seed("segment", "POST", "/v1/p", TEXT, body=VIEW, keys=KEYS),
    Seed("segment", "POST", "/v1/t", (*TEXT, BASIC), body=BOUGHT, keys=KEYS),
    Seed("segment", "POST", "/v1/batch", body=BATCH, rows=6, keys=KEYS),
    Seed(
        "segment",
        "POST",
        "/v1/batch",
        (*JSON, BASIC, (b"content-encoding", b"gzip")),
        raw=gzip.compress(msgspec.json.encode(BATCH)),
        rows=6,
        keys=KEYS,
    ),
    Seed("segment", "POST", "/api/s/s2s/track", (*JSON, (b"x-write-key", b"WK1:secret")), body=BOUGHT, keys=KEYS),
    Seed(
        "segment",
        "GET",
        "/v1/pixel/track?data=" + base64.urlsafe_b64encode(msgspec.json.encode(BOUGHT | {"writeKey": "WK1"})).decode(),
        (),
        keys=KEYS,
    ),
    Seed("segment", "POST", "/v1/m", body={"series": []}, rows=0),
)
