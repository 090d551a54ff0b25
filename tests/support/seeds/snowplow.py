"""Good requests of Snowplow's trackers: a batch, and an event in a query."""

from __future__ import annotations

import base64
import json
from urllib.parse import urlencode

from tests.support.seeds import Seed

KEYS = ("snowplow:app",)
NOON = 1_798_718_400_000
COMMON = {
    "p": "web", "tv": "js-4.6.0", "aid": "app", "duid": "d", "uid": "u", "dtm": str(NOON), "stm": str(NOON), "res": "1920x1080",
    "lang": "de-DE", "url": "https://example.com/a?utm_source=x", "refr": "https://a.example/", "page": "T",
}  # fmt: skip


def described(name: str, data: object, wrapper: str = "unstruct_event") -> dict[str, object]:
    inner = {"schema": f"iglu:com.acme/{name}/jsonschema/1-0-0", "data": data}
    return {"schema": f"iglu:com.snowplowanalytics.snowplow/{wrapper}/jsonschema/1-0-0", "data": inner}


CODED = base64.urlsafe_b64encode(json.dumps(described("sign_up", {"plan": "pro"})).encode()).decode()
EVENTS = [
    COMMON | {"e": "pv", "eid": "1"},
    COMMON | {"e": "pp", "eid": "2", "pp_may": "600", "vp": "1000x800", "ds": "1000x2000"},
    COMMON | {"e": "se", "eid": "3", "se_ca": "shop", "se_ac": "add", "se_va": "2"},
    COMMON | {"e": "ue", "eid": "4", "ue_pr": json.dumps(described("sign_up", {"plan": "pro"}))},
    COMMON | {"e": "tr", "eid": "5", "tr_id": "T-1", "tr_tt": "29.97", "tr_cu": "EUR"},
    COMMON | {"e": "ti", "eid": "6", "ti_sk": "A"},
]
REFUSALS = (400, 401, 403)

SEEDS = (
    Seed(
        "snowplow",
        "POST",
        "/com.snowplowanalytics.snowplow/tp2",
        body={"schema": "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4", "data": EVENTS},
        rows=5,
        keys=KEYS,
        refusals=REFUSALS,
    ),
    Seed(
        "snowplow",
        "GET",
        "/i?" + urlencode(COMMON | {"e": "ue", "eid": "7", "ue_px": CODED}),
        (),
        keys=KEYS,
        refusals=REFUSALS,
    ),
)
