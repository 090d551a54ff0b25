"""Declares PostHog's clients: posthog-js in its generations, and the SDKs for servers in both protocols."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from playwright.async_api import Page

from tests.sdks.declared import KILLED, PLAIN, VISITS, Row, Sdk, as_other, drive

HERE = {"hostname": "{site}", "path": "/pricing", "utm_source": "letter"}
CAME = "http://news.test/"
WHO = {"user_id": "user-42"}
BOUGHT = {"name": "purchase", "revenue": Decimal("49.9"), "currency": "EUR"}
GROUP = {"name": "group", "props": {"group_type": "company", "group_id": "acme", "size": "9"}}
# What is answered 4xx is dropped, so a refusal of 429 is a loss.
DROPPED = frozenset(("429",))


def carries(method: str, path: str) -> bool:
    """Tells whether a request of posthog-js carries events, and does not ask for flags or send a recording."""
    return method == "POST" and path.startswith(("/e/", "/i/"))


async def leave(tab: Page, page: str) -> None:
    """Goes to another page, at which posthog-js says the rest by a beacon."""
    await drive(tab, page)
    await tab.goto("about:blank")


def _browser(
    version: str, package: str, module: str, *, reads: bool = True, gives_up: frozenset[str] = DROPPED, **more: Any
) -> Sdk:
    """Returns posthog-js of a version. `reads` says whether it tells how long a page before was read."""
    left: tuple[Row, ...] = ({"name": "engagement", "hostname": "{site}", "path": "/pricing"},) if reads else ()
    return Sdk(
        name=f"posthog_js_{version}",
        of="PostHog",
        runs_in="browser",
        packages=(package,),
        key=("posthog", lambda site: f"phc_{site}"),
        comes_back=True,
        gives_up=gives_up,
        page="posthog_js",
        fills={"module": f"{package}/dist/{module}"},
        carries=carries,
        rows=(
            {
                "name": "pageview", **HERE, "referrer": CAME, "title": "Pricing", "language": "en-GB", "screen_w": 1280,
                "screen_h": 720, "user_id": "", "dialect": "posthog", "bot": "",
            },
            {**BOUGHT, **HERE, "user_id": "", "props": {"sku": "A-1", "revenue": None, "currency": None}},
            {"name": "identify", **HERE, **WHO, "props": {"email": "a@b.test"}},
            {**GROUP, **WHO},
            {"name": "signup", **HERE, **WHO, "props": {"plan": "pro", "groups.company": "acme"}},
            {"name": "pageview", "hostname": "{site}", "path": "/plans", **WHO},
            {"name": "engagement", "hostname": "{site}", "path": "/plans"},
            *left,
        ),
        **more,
    )  # fmt: skip


def _server(name: str, package: str, runs_in: Any, rows: tuple[Row, ...], **more: Any) -> Sdk:
    return Sdk(
        name=name,
        of="PostHog",
        runs_in=runs_in,
        packages=(package,),
        key=("posthog", lambda site: f"phc_{site}"),
        comes_back=True,
        rows=rows,
        **more,
    )


VIEW: Mapping[str, Any] = {"name": "pageview", **HERE, **WHO, "referrer": CAME, "dialect": "posthog"}
KNOWN = {"name": "identify", **WHO, "props": {"email": "a@b.test"}}
ALIAS = {"name": "alias", **WHO, "props": {"previous_id": "earlier"}}

SDKS = (
    _browser("1_449", "posthog-js", "module.mjs"),
    _browser("1_407", "posthog-js-1.407", "module.js", leaves_out=as_other("posthog_js_1_449")),
    _browser("1_257", "posthog-js-1.257", "module.js", leaves_out=as_other("posthog_js_1_449")),
    _browser("1_96", "posthog-js-1.96", "es.js", reads=False, gives_up=DROPPED | {"500"}),
    Sdk(
        name="posthog_js_left",
        of="PostHog",
        runs_in="browser",
        packages=("posthog-js",),
        key=("posthog", lambda site: f"phc_{site}"),
        comes_back=False,
        carries=carries,
        drive=leave,
        leaves_out={visit: "a beacon is sent once" for visit in (*VISITS, KILLED) if visit != PLAIN},
        rows=(
            {"name": "pageview", **HERE},
            {"name": "last words", **HERE, "props": {"plan": "pro"}},
            {"name": "engagement", **HERE},
        ),
    ),
    _server(
        "posthog_node",
        "posthog-node",
        "node",
        (
            VIEW,
            {**BOUGHT, **HERE, **WHO, "props": {"sku": "A-1", "groups.company": "acme"}},
            {"name": "refund", **WHO, "revenue": Decimal("-9.5"), "currency": "EUR"},
            KNOWN,
            ALIAS,
            GROUP,
        ),
        visitors=3,
    ),
    _server("posthog_node_v1", "posthog-node", "node", (VIEW, {**BOUGHT, **WHO}, KNOWN), gives_up=DROPPED),
    _server(
        "posthog_python",
        "posthog",
        "python",
        (VIEW, {**BOUGHT, **HERE, **WHO, "props": {"sku": "A-1"}}, KNOWN, ALIAS, GROUP),
        visitors=3,
    ),
    _server(
        "posthog_python_v1",
        "posthog",
        "python",
        (VIEW, {**BOUGHT, **WHO}, {"name": "seen", "user_id": ""}),
        gives_up=DROPPED,
        visitors=2,
    ),
)
