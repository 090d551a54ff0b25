"""Declares Segment's clients, and those of RudderStack and Jitsu, which send the same messages."""

from decimal import Decimal
from typing import Any

from tests.sdks.declared import Sdk, as_other

HERE = {"hostname": "{site}", "path": "/pricing", "utm_source": "letter"}
CAME = "http://news.test/"
WHO = {"user_id": "user-42"}
PAGE = {"name": "pageview", **HERE, "referrer": CAME, "dialect": "segment"}
BOUGHT = {"name": "Order Completed", "revenue": Decimal("49.9"), "currency": "EUR", "props": {"order_id": "o-1"}}
REFUNDED = {"name": "Order Refunded", "revenue": Decimal("-9.5"), "currency": "EUR"}
KNOWN = {"name": "identify", **WHO, "props": {"email": "a@b.test"}}
GROUP = {"name": "group", **WHO, "props": {"group_id": "acme", "size": "9"}}
ALIAS = {"name": "alias", **WHO, "props": {"previous_id": "earlier"}}
# What waits to be sent again is filled in anew, and by then somebody may be known.
KNOWN_BY_THEN = ("", "user-42").__contains__
UUID_CHARS = 36  # of the id by which analytics-next numbers a visitor
SCREEN = {"name": "pageview", **WHO, "hostname": "app", "path": "/Home", "title": "Home"}


def _key(site: str) -> str:
    return f"wk_{site}"


def _browser(name: str, strategy: str, **more: Any) -> Sdk:
    """Returns analytics-next, which sends each message by itself, or several together."""
    return Sdk(
        name=name,
        of="Segment",
        runs_in="browser",
        packages=("@segment/analytics-next",),
        key=("segment", _key),
        comes_back=True,
        page="segment_next",
        fills={"strategy": strategy},
        rows=(
            {
                **PAGE, "title": "Pricing", "language": "en-GB", "user_id": KNOWN_BY_THEN, "bot": "",
                "props": {"plan": "x", "name": "Pricing", "category": "Docs"},
            },
            {**BOUGHT, **HERE, "user_id": KNOWN_BY_THEN, "props": {"products": '[{"sku":"A-1"}]', "revenue": None, "currency": None}},
            {**REFUNDED, **HERE},
            {**KNOWN, **HERE},
            GROUP,
            {"name": "alias", **WHO, "props": {"previous_id": lambda said: len(said or "") == UUID_CHARS}},
            {"name": "signup", **HERE, "props": {"plan": "pro"}},
        ),
        **more,
    )  # fmt: skip


def _server(name: str, of: str, runs_in: Any, package: str, rows: tuple[Any, ...], **more: Any) -> Sdk:
    options = {"comes_back": True, "visitors": 2} | more
    return Sdk(name=name, of=of, runs_in=runs_in, packages=(package,), key=("segment", _key), rows=rows, **options)


SDKS = (
    _browser("segment_next", "{}"),
    _browser(
        "segment_next_batches",
        "{ strategy: 'batching', config: { size: 4, timeout: 800 } }",
        leaves_out=as_other("segment_next"),
    ),
    _server(
        "segment_node",
        "Segment",
        "node",
        "@segment/analytics-node",
        ({**PAGE, **WHO, "title": "Pricing"}, {**BOUGHT, **HERE, **WHO}, REFUNDED, KNOWN, GROUP, ALIAS, SCREEN),
    ),
    _server(
        "segment_python",
        "Segment",
        "python",
        "segment-analytics-python",
        ({**PAGE, **WHO, "title": "Pricing"}, {**BOUGHT, **HERE, **WHO}, REFUNDED, KNOWN, GROUP, ALIAS, SCREEN),
    ),
    _server(
        "rudderstack_python",
        "RudderStack",
        "python",
        "rudder-sdk-python",
        ({**PAGE, **WHO}, {**BOUGHT, **WHO}, KNOWN, ALIAS),
        leaves_out=as_other("segment_python"),
    ),
    _server(
        "jitsu_js",
        "Jitsu",
        "node",
        "@jitsu/js",
        (PAGE, BOUGHT, KNOWN, {"name": "group", "props": {"group_id": "acme", "size": "9"}}),
        comes_back=False,
        visitors=1,
    ),
)
