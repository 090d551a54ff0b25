"""Good requests of GoatCounter's clients: count.js, as a picture and as a beacon."""

from __future__ import annotations

from urllib.parse import urlencode

from tests.support.seeds import Seed

PAGE = {
    "p": "/pricing",
    "r": "https://a.example/",
    "t": "Pricing",
    "q": "?utm_source=x",
    "s": "1920,1080,2",
    "b": "0",
    "rnd": "k3x9a",
}
CLICK = {"p": "download", "t": "Download", "e": "true", "s": "390,844,3", "rnd": "k3x9b"}
FROM = ((b"referer", b"https://example.com/"),)

SEEDS = (
    Seed("goatcounter", "GET", "/count?" + urlencode(PAGE), FROM),
    Seed("goatcounter", "POST", "/count?" + urlencode(CLICK), FROM),
    Seed("goatcounter", "GET", "/goatcounter/example.com/count?" + urlencode(PAGE), ()),
)
