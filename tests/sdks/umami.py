"""Declares Umami's clients. None of them sends anything again, so an event whose request was refused is gone."""

from decimal import Decimal
from uuid import NAMESPACE_DNS, uuid5

from tests.sdks.declared import Sdk, looks_at_no_answer

HERE = {"hostname": "{site}", "path": "/pricing", "utm_source": "letter"}
CAME = "http://news.test/"
BOUGHT = {"revenue": Decimal("49.9"), "currency": "EUR", "props": {"sku": "A-1", "revenue": None, "currency": None}}


def website(site: str) -> str:
    """Returns the UUID by which Umami's clients name a site."""
    return str(uuid5(NAMESPACE_DNS, site))


KEY = ("umami", website)
SCRIPT = Sdk(
    name="umami_script",
    of="Umami",
    runs_in="browser",
    packages=("umami",),
    key=KEY,
    comes_back=False,
    leaves_out=looks_at_no_answer(),
    rows=(
        {
            "name": "pageview", **HERE, "referrer": CAME, "title": "Pricing & plans", "language": "en-GB",
            "screen_w": 1280, "screen_h": 720, "dialect": "umami",
        },
        {"name": "purchase", **HERE, **BOUGHT},
        {"name": "identify", "props": {"email": "a@b.test"}},
        {"name": "signup", **HERE, "props": {"plan": "pro"}},
        {"name": "pageview", "hostname": "{site}", "path": "/plans", "referrer": lambda said: said.endswith("/pricing")},
    ),
)  # fmt: skip
NODE = Sdk(
    name="umami_node",
    of="Umami",
    runs_in="node",
    packages=("@umami/node",),
    key=KEY,
    comes_back=False,
    rows=(
        {"name": "pageview", **HERE, "referrer": CAME, "title": "Pricing"},
        {"name": "signup", "hostname": "", "props": {"plan": "pro", "seats": "3"}},
        {"name": "purchase", "hostname": "{site}", "path": "/checkout", **BOUGHT},
        {"name": "identify", "props": {"email": "a@b.test", "plan": "pro"}},
    ),
)
PYTHON = Sdk(
    name="umami_python",
    of="Umami",
    runs_in="python",
    packages=("umami-analytics",),
    key=KEY,
    comes_back=False,
    rows=(
        {"name": "pageview", **HERE, "referrer": CAME, "user_id": "user-42", "title": "Pricing"},
        {"name": "signup", "path": "/checkout", "props": {"plan": "pro", "seats": "3"}},
        {"name": "purchase", "path": "/checkout", **BOUGHT},
    ),
)
SDKS = (SCRIPT, NODE, PYTHON)
