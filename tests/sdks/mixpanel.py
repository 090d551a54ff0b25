"""Declares Mixpanel's clients. Only the browser's, and Python's over https, send anything again."""

from decimal import Decimal

from tests.sdks.declared import KILLED, Sdk

HERE = {"hostname": "{site}", "path": "/pricing", "utm_source": "letter"}
KEY = ("mixpanel", lambda site: site.partition(".")[0])
PATHS = ("/track", "/track/", "/engage", "/import")


def carries(_method: str, path: str) -> bool:
    return path.partition("?")[0] in PATHS


BROWSER = Sdk(
    name="mixpanel_browser",
    of="Mixpanel",
    runs_in="browser",
    packages=("mixpanel-browser",),
    key=KEY,
    comes_back=True,
    gives_up=frozenset((KILLED,)),  # while the browser is online it takes a connection that ends for a success
    carries=carries,
    rows=(
        {
            "name": "pageview", **HERE, "referrer": "http://news.test/", "title": "Pricing & plans", "screen_w": 1280,
            "screen_h": 720, "props": {"original_name": "$mp_web_page_view"}, "dialect": "mixpanel",
            "event_id": lambda said: len(said) == 16, "user_id": "",
        },
        {"name": "Signup", **HERE, "props": {"plan": "pro", "seats": "3", "token": None}},
        {"name": "Purchase", **HERE, "revenue": Decimal("29.97"), "currency": "EUR", "props": {"revenue": None}},
        {"name": "Refund", **HERE, "revenue": Decimal("-12.5"), "currency": "USD"},
        {"name": "identify", "user_id": "user-42"},
        {"name": "alias", "user_id": "user-43", "props": {"previous_id": "user-42"}},
        {"name": "pageview", "hostname": "{site}", "path": "/plans"},
    ),
)  # fmt: skip
SERVER_ROWS = (
    {"name": "Signup", "user_id": "user-42", "props": {"plan": "pro"}, "dialect": "mixpanel"},
    {"name": "Purchase", "user_id": "user-42", "revenue": Decimal("29.97"), "currency": "EUR"},
    {"name": "charge", "user_id": "user-42", "revenue": Decimal("12.5"), "currency": "USD"},
    {"name": "alias", "user_id": "user-42"},
)
NODE = Sdk(
    name="mixpanel_node",
    of="Mixpanel",
    runs_in="node",
    packages=("mixpanel",),
    key=KEY,
    comes_back=False,
    carries=carries,
    visitors=2,  # the second is the id before the alias
    rows=(*SERVER_ROWS, {"name": "First", "user_id": "user-42"}, {"name": "Second", "user_id": "user-42"}),
)
PYTHON = Sdk(
    name="mixpanel_python",
    of="Mixpanel",
    runs_in="python",
    packages=("mixpanel",),
    key=KEY,
    comes_back=False,
    carries=carries,
    visitors=2,
    rows=SERVER_ROWS,
)
SDKS = (BROWSER, NODE, PYTHON)
