"""Declares Amplitude's clients. They believe the number `code` of an answer, and where there is no body its status."""

from decimal import Decimal

from tests.sdks.declared import KILLED, Sdk

HERE = {"hostname": "{site}", "path": "/pricing", "utm_source": "letter"}
KEY = ("amplitude", lambda site: site.partition(".")[0])
EVENTS = ("/2/httpapi", "/batch", "/httpapi")


def carries(method: str, path: str) -> bool:
    return method == "POST" and path in EVENTS


BROWSER = Sdk(
    name="amplitude_browser",
    of="Amplitude",
    runs_in="browser",
    packages=("@amplitude/analytics-browser",),
    key=KEY,
    comes_back=True,
    carries=carries,
    rows=(
        {
            "name": "pageview", **HERE, "referrer": "http://news.test/", "title": "Pricing & plans", "language": "en-GB",
            "props": {"original_name": "[Amplitude] Page Viewed"}, "dialect": "amplitude", "event_id": lambda said: len(said) == 36,
        },
        {"name": "Signup", **HERE, "props": {"plan": "pro", "seats": "3"}},
        {"name": "revenue_amount", "revenue": Decimal("29.97"), "currency": "EUR", "props": {"$productId": "A-1"}},
        {"name": "revenue_amount", "revenue": Decimal("-12.5"), "currency": "USD"},
        {"name": "identify", "user_id": "user-42", "props": {"color": None}},  # of the source of the visit
        {"name": "identify", "user_id": "user-42", "props": {"color": "red"}},
        {"name": "group", "user_id": "user-42", "props": {"group_type": "org", "group_id": "acme"}},
        {"name": "File Download", "hostname": "{site}", "props": {"url": lambda url: str(url).endswith("/guide.pdf")}},
        {"name": "pageview", "hostname": "{site}", "path": "/plans", "user_id": "user-42"},
    ),
)  # fmt: skip
SERVER_ROWS = (
    {
        "name": "Signup",
        "user_id": "user-42",
        "props": {"plan": "pro"},
        "agent_kind": lambda kind: kind in {"", "library"},
    },
    {"name": "revenue_amount", "user_id": "user-42", "revenue": Decimal("29.97"), "currency": "EUR"},
    {"name": "identify", "user_id": "user-42", "props": {"color": "red"}},
    {"name": "group", "user_id": "user-42", "props": {"group_type": "org", "group_id": "acme"}},
)
NODE = Sdk(
    name="amplitude_node",
    of="Amplitude",
    runs_in="node",
    packages=("@amplitude/analytics-node",),
    key=KEY,
    comes_back=True,
    gives_up=frozenset((KILLED,)),  # it drops a batch whose connection ends before the answer begins
    rows=SERVER_ROWS,
)
PYTHON = Sdk(
    name="amplitude_python",
    of="Amplitude",
    runs_in="python",
    packages=("amplitude-analytics",),
    key=KEY,
    comes_back=True,
    gives_up=frozenset((KILLED,)),  # the same
    rows=SERVER_ROWS,
)
OLD = Sdk(
    name="amplitude_js",
    of="Amplitude",
    runs_in="browser",
    packages=("amplitude-js",),
    key=KEY,
    comes_back=True,
    carries=carries,
    is_brief=True,
    rows=(
        {"name": "Signup", "user_id": "user-42", "props": {"plan": "pro", "seats": "3"}, "dialect": "amplitude"},
        {"name": "revenue_amount", "user_id": "user-42", "revenue": Decimal("29.97"), "currency": "USD"},
        {"name": "identify", "user_id": "user-42", "props": {"color": "red"}},
    ),
)
SDKS = (BROWSER, NODE, PYTHON, OLD)
