"""What is done on a page: tagged elements, links to elsewhere, files, forms, and a page that is not there."""

from typing import Any

import pytest
from playwright.async_api import Page

from tests.support.host import STUB, Host
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
STAY = """<script>
  addEventListener('submit', event => event.preventDefault());
  addEventListener('click', event => event.composedPath().some(one => one.href) && event.preventDefault());
</script>"""
TAGGED = (
    STAY
    + """
  <button id=plain data-forebay-event=signup data-forebay-plan=pro data-forebay-plan-name="Big &amp; best"><b>Sign up</b></button>
  <a id=tagged data-forebay-event=partner href="https://partner.example/x"><i>Partner</i></a>
  <div id=card data-forebay-event=card><a id=within href="/inside">inside</a></div>
  <button id=buy data-forebay-event=buy data-forebay-revenue=9.90 data-forebay-currency=EUR>Buy</button>
  <form id=form name=letter data-forebay-event=newsletter data-forebay-list=weekly><input id=field name=email><button id=send>Go</button></form>
"""
)
LINKS = (
    STAY
    + """
  <a id=out href="https://user:pass@other.example/a/b?token=secret#part">out</a>
  <a id=port href="http://localhost:1/elsewhere">another port</a>
  <a id=file href="/files/Report.PDF?signature=secret">report</a>
  <a id=faraway href="https://other.example/archive.zip">archive</a>
  <a id=page href="/next">next</a><a id=mail href="mailto:a@b.example">mail</a><a id=call href="tel:1">call</a>
  <a id=script href="javascript:void 0">script</a><a id=none>none</a><a id=same href="#part">same</a>
  <svg><a id=drawn href="https://other.example/"><text y=20>drawn</text></a></svg>
  <my-link id=shadow></my-link>
  <script>shadow.attachShadow({mode: 'open'}).innerHTML = '<a href="https://shadow.example/">in a shadow</a>'</script>
"""
)


async def acts(page: Page, host: Host) -> list[dict[str, Any]]:
    """Returns what was sent beside pageviews and engagement, in the order in which it happened."""
    sent = [event for event in await host.sent_before(page) if event.get("name") not in {None, "engagement"}]
    return sorted(
        {event["id"]: event for event in sent}.values(), key=lambda event: (event["ts"], len(event["id"]), event["id"])
    )


async def test_tagged_elements(host: Host, page: Page) -> None:
    """A click on a tagged element or on what is in it is its event, with its attributes as properties; a tag takes the place of a link's own event."""
    host.head = TAGGED
    await page.goto(host.origin + "/a")
    for element in ("#plain b", "#tagged i", "#within", "#buy", "#field", "#send"):
        await page.locator(element).dispatch_event("click")
    found = await acts(page, host)
    assert [(event["name"], event.get("props")) for event in found] == [
        ("signup", {"plan": "pro", "plan-name": "Big & best"}),
        ("partner", {"url": "https://partner.example/x"}),
        ("card", {}),
        ("buy", {}),
        ("newsletter", {"form": "letter", "list": "weekly"}),
    ]
    assert [event.get("revenue") for event in found if event["name"] == "buy"] == [
        {"amount": "9.90", "currency": "EUR"}
    ]
    assert len({event["id"] for event in found}) == 5


async def test_links_and_files(host: Host, page: Page) -> None:
    """To another host, and to a file, without what stands behind the question mark; nothing of other links. The middle button opens a link too."""
    host.head = LINKS
    await page.goto(host.origin + "/a")
    for element in ("out", "port", "file", "faraway", "page", "mail", "call", "script", "none", "same", "drawn"):
        await page.locator("#" + element).dispatch_event("click")
    await page.evaluate("shadow.shadowRoot.querySelector('a').click()")
    await page.evaluate(
        "for (const button of [1, 2]) out.dispatchEvent(new MouseEvent('auxclick', {button, bubbles: true, cancelable: true}))"
    )
    assert [(event["name"], event["props"]) for event in await acts(page, host)] == [
        ("Outbound Link: Click", {"url": "https://other.example/a/b"}),
        ("Outbound Link: Click", {"url": "http://localhost:1/elsewhere"}),
        ("File Download", {"url": host.origin + "/files/Report.PDF"}),
        ("File Download", {"url": "https://other.example/archive.zip"}),
        ("Outbound Link: Click", {"url": "https://shadow.example/"}),
        ("Outbound Link: Click", {"url": "https://other.example/a/b"}),
    ]


async def test_a_click_that_leaves_is_delivered(host: Host, page: Page) -> None:
    """The page is gone a moment later."""
    host.head = f'<a href="{host.tracker}/b">b</a>'
    await page.goto(host.origin + "/a")
    await host.pageviews(1)
    await page.click("a")
    assert (await host.event("Outbound Link: Click"))["url"] == host.origin + "/a"


FORMS = (
    STAY
    + """
  <form name=search><input name=name value=secret><input name=id><input name=action><button id=one>1</button></form>
  <form name=odd><input name=attributes><input name=getAttribute><input name=matches><button id=two>2</button></form>
  <form><input required><button id=three>3</button></form>
"""
)


async def test_forms(host: Host, page: Page) -> None:
    """Each that is sent, with its name, whatever its fields are called, and nothing of what was typed. One that is not valid is not sent."""
    host.head = FORMS
    await page.goto(host.origin + "/a/b?c=d")
    for element in ("one", "two", "three"):
        await page.evaluate("name => document.getElementById(name).click()", element)
    found = await acts(page, host)
    assert [(event["name"], event["props"]) for event in found] == [
        ("Form: Submission", {"form": "search"}),
        ("Form: Submission", {"form": "odd"}),
    ]
    assert {event["url"] for event in found} == {host.origin + "/a/b?c=d"}
    assert "secret" not in str(host.posts)


@pytest.mark.parametrize("status", [200, 404, 410])
async def test_a_page_that_is_not_there(host: Host, page: Page, status: int) -> None:
    """The browser knows the status of its page: 404 is an event beside the pageview, once for each load."""
    host.page_status = status
    await page.goto(host.origin + "/missing")
    await host.pageviews(1)
    await page.evaluate("history.pushState(null, '', '/b')")
    await host.pageviews(2)
    found = await acts(page, host)
    assert [(event["name"], event["url"]) for event in found] == [("404", host.origin + "/missing")] * (status == 404)


async def test_what_is_not_wanted_is_left_out(host: Host, page: Page) -> None:
    """By the names of the events, and nothing else is."""
    host.head, host.page_status = LINKS + FORMS, 404
    host.attributes += ' data-without="404, Form: Submission, File Download"'
    await page.goto(host.origin + "/a")
    for element in ("#file", "#out", "#one"):
        await page.locator(element).dispatch_event("click")
    assert [event["name"] for event in await acts(page, host)] == ["Outbound Link: Click"]


async def test_two_sites_on_a_page(host: Host, page: Page) -> None:
    """Two tags with different sites count everything for both, also calls from before they were there; a third of the same site counts nothing."""
    other = f'<script defer src="{host.tracker}/f.js" data-site="other.example"></script>'
    host.head = STUB + "<script>forebay('early')</script>" + other * 2
    await page.goto(host.origin + "/a")
    await page.evaluate("forebay('late', {plan: 'pro'}); history.pushState(null, '', '/b'); forebay('last')")
    await until(lambda: len(host.events("last")) == 2 and len(host.events()) >= 4)
    for name in (None, "early", "late", "last"):
        events = {event["id"]: event for event in host.events(name)}.values()
        assert sorted(event["site"] for event in events) == sorted(
            ["example.com", "other.example"] * (1 + (name is None))
        )
    assert len({event["id"] for event in host.all_events()}) == len(host.all_events())
