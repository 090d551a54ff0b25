"""Declares OpenPanel's clients. They send again what was not answered 200, 202 or 401, without an id: what was stored is then two."""

from decimal import Decimal
from uuid import NAMESPACE_DNS, uuid5

from tests.sdks.declared import KILLED, PLAIN, VISITS, Sdk

KEY = ("openpanel", lambda site: str(uuid5(NAMESPACE_DNS, site)))
TWICE = {
    visit: "it sends again, without an id, what was stored already"
    for visit in (*VISITS, KILLED)
    if visit not in {PLAIN, "200", "202"}
}
BOUGHT = {"name": "revenue", "revenue": Decimal("49.9"), "currency": "EUR"}
WEB = Sdk(
    name="openpanel_web",
    of="OpenPanel",
    runs_in="browser",
    packages=("@openpanel/web",),
    key=KEY,
    comes_back=True,
    leaves_out=TWICE,
    is_brief=True,
    rows=(
        {
            "name": "pageview", "hostname": "{site}", "path": "/pricing", "utm_source": "letter", "referrer": "http://news.test/",
            "title": "Pricing & plans", "dialect": "openpanel",
        },
        {"name": "signup", "hostname": "{site}", "props": {"plan": "pro", "seats": "3"}},
        {"name": "Outbound Link: Click", "props": {"url": "http://elsewhere.test/there"}},
        {**BOUGHT, "props": {"sku": "A-1"}},
        {"name": "identify", "user_id": "user-42", "props": {"email": "a@b.test"}},
        {"name": "pageview", "hostname": "{site}", "path": "/plans", "user_id": "user-42"},
    ),
)  # fmt: skip
NODE = Sdk(
    name="openpanel_node",
    of="OpenPanel",
    runs_in="node",
    packages=("@openpanel/sdk",),
    key=KEY,
    comes_back=True,
    leaves_out=TWICE,
    is_brief=True,
    rows=(
        {"name": "signup", "user_id": "user-42", "props": {"plan": "pro", "seats": "3"}},
        {"name": "revenue", "user_id": "user-42", "revenue": Decimal("29.97"), "currency": "EUR"},
        {"name": "identify", "user_id": "user-42", "props": {"email": "a@b.test"}},
    ),
)
SDKS = (WEB, NODE)
