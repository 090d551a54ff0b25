"""Good requests of Matomo's clients: what matomo.js asks for as a picture and sends as a beacon, and a bulk of a server."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from tests.support.seeds import FORM, JSON, Seed

KEYS = ("matomo:7",)
PAGE: dict[str, Any] = {
    "action_name": "Pricing", "idsite": "7", "rec": "1", "r": "482913", "h": "12", "m": "0", "s": "5",
    "url": "https://example.com/pricing?pk_campaign=spring&utm_source=x", "urlref": "https://a.example/", "_id": "0123456789abcdef",
    "_idn": "1", "send_image": "0", "_refts": "0", "pdf": "1", "cookie": "1", "res": "1920x1080", "pv_id": "aB3dE6", "rand": "482913",
    "pf_net": "12", "pf_srv": "80", "uadata": '{"fullVersionList":[]}', "uid": "ada", "dimension1": "gold",
    "cvar": '{"1":["plan","pro"]}',
}  # fmt: skip
EVENT = PAGE | {"e_c": "Video", "e_a": "play", "e_n": "intro", "e_v": "3", "rand": "2"}
ORDER = PAGE | {
    "idgoal": "0", "ec_id": "T-1", "revenue": "29.97", "ec_tx": "3", "ec_items": '[["A-1","Sock","",9.99,3]]', "rand": "3",
}  # fmt: skip
LINK = PAGE | {"link": "https://elsewhere.example/there", "rand": "4"}
BULK = {
    "requests": ["?" + urlencode(PAGE), "?" + urlencode(EVENT), ORDER],
    "token_auth": "0123456789abcdef0123456789abcdef",
}

SEEDS = (
    Seed("matomo", "GET", "/matomo.php?" + urlencode(PAGE), (), status=204, keys=KEYS),
    Seed("matomo", "GET", "/piwik.php?" + urlencode(EVENT | {"send_image": "1"}), (), keys=KEYS),
    Seed("matomo", "POST", "/matomo.php", FORM, raw=urlencode(ORDER).encode(), status=204, keys=KEYS),
    Seed("matomo", "POST", "/matomo.php?" + urlencode(LINK), FORM, status=204, keys=KEYS),
    Seed("matomo", "POST", "/matomo.php", JSON, body=BULK, rows=3, keys=KEYS),
)
