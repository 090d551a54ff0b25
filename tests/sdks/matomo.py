"""Declares the client of Matomo's Tracking HTTP API. It sends nothing again, so an event whose request was refused is gone."""

from decimal import Decimal
from zlib import crc32

from tests.sdks.declared import Sdk

HERE = {"hostname": "{site}", "path": "/pricing", "utm_source": "letter", "user_id": "user-42"}


def carries(_method: str, path: str) -> bool:
    """Tells whether a request carries events: one comes by GET, several by POST."""
    return path.startswith("/matomo.php")


NODE = Sdk(
    name="matomo_node",
    of="Matomo",
    runs_in="node",
    packages=("matomo-tracker",),
    key=("matomo", lambda site: str(crc32(site.encode()))),
    comes_back=False,
    is_brief=True,
    carries=carries,
    rows=(
        {"name": "pageview", **HERE, "title": "Pricing", "referrer": "http://news.test/", "props": {"plan": "pro"}, "dialect": "matomo"},
        {"name": "signup", **HERE, "props": {"category": "form", "label": "pro"}},
        {"name": "purchase", **HERE, "revenue": Decimal("29.97"), "currency": "USD", "props": {"order_id": "T-1"}},
    ),
)  # fmt: skip
SDKS = (NODE,)
