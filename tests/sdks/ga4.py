"""Declares the Measurement Protocol of Google Analytics 4, as programs send it: there is no SDK of it, and no second try."""

from decimal import Decimal

from tests.sdks.declared import Sdk

HERE = {"hostname": "{site}", "path": "/pricing", "utm_source": "letter"}
PROTOCOL = Sdk(
    name="ga4_protocol",
    of="Google Analytics 4",
    runs_in="python",
    packages=("requests",),
    key=("ga4", lambda site: "G-" + site.partition(".")[0].partition("-")[2].upper()),
    comes_back=False,
    rows=(
        {"name": "pageview", **HERE, "title": "Pricing", "user_id": "user-42", "dialect": "ga4"},
        {"name": "sign_up", "user_id": "user-42", "props": {"method": "mail", "session_id": None}},
        {
            "name": "purchase", "event_id": "purchase.T-1", "revenue": Decimal("29.97"), "currency": "EUR",
            "props": {"value": None, "transaction_id": "T-1"},
        },
        {"name": "refund", "revenue": Decimal("-9.99"), "currency": "EUR"},
    ),
)  # fmt: skip
SDKS = (PROTOCOL,)
