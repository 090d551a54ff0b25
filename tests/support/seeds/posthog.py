"""Good requests of PostHog's clients, a generation each."""

from __future__ import annotations

import base64
import gzip
from typing import Any
from urllib.parse import quote

import msgspec

from tests.support.seeds import FORM, JSON, TEXT, Seed

KEYS = ("posthog:phc_w1",)
REFUSALS = (400, 401, 413, 415)
WHO = {"distinct_id": "d-1", "$device_id": "d-1", "$session_id": "s-1", "$lib": "web", "token": "phc_w1"}
VIEW: dict[str, Any] = {
    "uuid": "01a2062a-7b64-76df-b0f1-2cfa01a319fa",
    "event": "$pageview",
    "properties": WHO
    | {
        "$current_url": "https://example.com/a?utm_source=x", "$referrer": "https://a.example/", "title": "T", "gclid": None,
        "$browser_language": "de", "$screen_width": 1920, "$screen_height": 1080, "$is_identified": False, "plan": "pro",
    },
    "timestamp": "2026-12-31T12:00:00.000Z",
}  # fmt: skip
BOUGHT = {
    "uuid": "01a2062a-8011-7801-a117-dfe3c9572b8e",
    "event": "bought",
    "properties": WHO | {"revenue": 49.9, "currency": "EUR", "$groups": {"company": "acme"}},
    "offset": 1_800,
}
KNOWN = {
    "uuid": "01a2062b-120a-795b-ad4b-6170ab83601b",
    "event": "$identify",
    "properties": WHO | {"$anon_distinct_id": "d-1", "distinct_id": "ada", "$is_identified": True},
    "$set": {"email": "a@b.c"},
}
LEFT = {
    "uuid": "01a2062b-2033-792a-83b7-f7c4e8404bbd",
    "event": "$pageleave",
    "properties": WHO | {"$prev_pageview_duration": 12.3, "$prev_pageview_max_scroll_percentage": 0.7},
}
OLD = b"data=" + quote(base64.b64encode(msgspec.json.encode([VIEW, BOUGHT])).decode()).encode()
BATCH = {"api_key": "phc_w1", "batch": [VIEW, BOUGHT, KNOWN, LEFT], "sent_at": "2026-12-31T12:00:01.000Z"}
SERVER = {
    "api_key": "phc_w1",
    "batch": [
        {"event": "bought", "distinct_id": "ada", "uuid": "u-1", "properties": {"$lib": "posthog-python"}},
        {"event": "$create_alias", "distinct_id": "ada", "uuid": "u-2", "properties": {"alias": "d-1"}},
        {"event": "$autocapture", "distinct_id": "ada", "uuid": "u-3", "properties": {}},
    ],
    "historical_migration": False,
}
V1 = {
    "created_at": "2026-12-31T12:00:01.000Z",
    "batch": [
        {
            "event": "bought", "uuid": "u-1", "distinct_id": "ada", "timestamp": "2026-12-31T12:00:00.000Z", "session_id": "s",
            "options": {"process_person_profile": True}, "properties": {"sku": "A"},
        },
    ],
}  # fmt: skip

SEEDS = (
    Seed("posthog", "POST", "/e/?ip=1&_=1798718400000&ver=1.96.1", FORM, raw=OLD, rows=2, keys=KEYS, refusals=REFUSALS),
    Seed("posthog", "POST", "/e/?ip=0&_=1798718400000&ver=1.257.0", body=VIEW, keys=KEYS, refusals=REFUSALS),
    Seed("posthog", "POST", "/e/", body=BATCH, rows=4, keys=KEYS, refusals=REFUSALS),
    Seed(
        "posthog",
        "POST",
        "/i/v0/e/",
        TEXT,
        raw=gzip.compress(msgspec.json.encode(BATCH)),
        rows=4,
        keys=KEYS,
        refusals=REFUSALS,
    ),
    Seed("posthog", "POST", "/batch/", body=SERVER, rows=2, keys=KEYS, refusals=REFUSALS),
    Seed(
        "posthog",
        "GET",
        "/e/?ip=1&data=" + base64.urlsafe_b64encode(msgspec.json.encode(VIEW)).decode(),
        (),
        keys=KEYS,
        refusals=REFUSALS,
    ),
    Seed(
        "posthog",
        "POST",
        "/i/v1/analytics/events",
        (
            *JSON,
            (b"authorization", b"Bearer phc_w1"),
            (b"posthog-request-timestamp", b"2026-12-31T12:00:02.000Z"),
        ),
        body=V1,
        keys=KEYS,
        refusals=REFUSALS,
    ),
    Seed("posthog", "POST", "/s/", TEXT, raw=b'[{"event":"$snapshot"}]', rows=0),
)
