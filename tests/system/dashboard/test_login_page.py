"""The login and the account in a browser: without scripts, at both widths and in both themes, for everybody, and in no page of others."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web
from playwright.async_api import Page, expect

from runtime import redis as clients
from runtime.redis import Redis
from schemas.redis.keys import sessions_key
from tests.support import redis_server
from tests.support.accessible import looked_at
from tests.support.browser import open_browser
from tests.support.dashboard.people import PASSWORD, Person, add_sites, add_user, opened

server = redis_server.server
redis = redis_server.redis
MINE = "mine.example"
AT = f"#/{MINE}?period=7d"
WIDTHS = (390, 1440)


async def test_people_log_in_without_scripts(server: Path, redis: Redis) -> None:
    """By keyboard; a wrong password is said, and the address that somebody opened is kept through all of it. Then they log out."""
    await _fill(redis)
    async with opened(clients.url_of(server)) as person, open_browser(is_whole=False) as browser:
        context = await browser.new_context(java_script_enabled=False)
        page = await context.new_page()
        await page.goto(f"{person.url}/{AT}")
        assert page.url == f"{person.url}/login{AT}"
        await expect(page.get_by_label("Name")).to_be_focused()
        await page.keyboard.type("guest")
        await page.keyboard.press("Tab")
        await page.keyboard.type("a wrong password")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
        await expect(page.get_by_label("Password")).to_be_focused()
        await page.keyboard.type(PASSWORD)
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"{person.url}/{AT}")
        await page.goto(f"{person.url}/account")
        await expect(page.get_by_role("row", name="(this one)")).to_have_count(1)
        await page.get_by_role("button", name="Log out").click()
        await page.wait_for_url(f"{person.url}/login")
        await page.goto(f"{person.url}/account")
        assert page.url == f"{person.url}/login"


async def test_the_pages_are_for_everybody(server: Path, redis: Redis) -> None:
    """axe-core finds nothing, in light and dark, at both widths; nothing is wider than the window, and nothing is asked of others."""
    await _fill(redis)
    async with opened(clients.url_of(server)) as person, open_browser(is_whole=False) as browser:
        for width in WIDTHS:
            context = await browser.new_context(viewport={"width": width, "height": 900})
            page = await context.new_page()
            asked: list[str] = []
            complaints: list[str] = []
            page.on("request", partial(_note, asked, "url"))
            page.on("console", partial(_note, complaints, "text"))
            await page.goto(f"{person.url}/login")
            await looked_at(page)
            await _log_in(page)
            await page.get_by_role("link", name="Account").click()
            await expect(page.get_by_role("heading", name="Your account")).to_be_visible()
            await looked_at(page)
            assert not [url for url in asked if not url.startswith(person.url)]
            # The page itself, which is opened on the way, complains of ClickHouse, which is not there.
            assert [text for text in complaints if "503" not in text] == []
            await context.close()


async def test_whoever_is_logged_out_elsewhere_comes_to_the_form(server: Path, redis: Redis) -> None:
    """A page that is open asks on, hears that it has to log in, and leads there by itself."""
    await _fill(redis)
    async with opened(clients.url_of(server)) as person, open_browser(is_whole=False) as browser:
        page = await (await browser.new_context()).new_page()
        await page.goto(f"{person.url}/login")
        await _log_in(page)
        await expect(page.get_by_role("link", name="Account")).to_be_visible()
        await redis.delete(sessions_key("guest0000000"))
        await page.get_by_role("link", name="Health").click()
        await page.wait_for_url(f"{person.url}/login#/**")
        await expect(page.get_by_label("Password")).to_be_visible()


async def test_a_page_of_others_can_not_use_the_browser(server: Path, redis: Redis) -> None:
    """It can't frame the dashboard, can't send its forms, and can't read what it answers, although the browser is logged in."""
    await _fill(redis)
    async with opened(clients.url_of(server)) as person, open_browser(is_whole=False) as browser:
        context = await browser.new_context()
        page = await context.new_page()
        await page.goto(f"{person.url}/login")
        await _log_in(page)
        evil, runner = await _elsewhere(person)
        try:
            other = await context.new_page()
            await other.goto(evil)
            for frame in other.frames[1:]:
                text = await frame.evaluate("document.body ? document.body.innerText : ''")
                assert not any(said in text for said in ("Log in", "Your account", "guest"))
            read = "url => fetch(url, {credentials: 'include'}).then(answer => answer.text(), () => 'refused')"
            for path in ("/api/sites", "/account", "/login", "/metrics"):
                assert await other.evaluate(read, person.url + path) == "refused"
            for name in ("logout", "account/sessions", "login"):
                await other.goto(evil)
                async with other.expect_response(f"{person.url}/{name}") as answered:
                    await other.locator(f"#{name.replace('/', '-')}").evaluate("form => form.submit()")
                assert (await answered.value).status == 403
                await other.wait_for_url(f"{person.url}/{name}")  # or what is opened next would interrupt it
        finally:
            await runner.cleanup()
        await page.goto(f"{person.url}/account")
        await expect(page.get_by_role("heading", name="Your account")).to_be_visible()


def _note(where: list[str], name: str, said: Any) -> None:
    where.append(getattr(said, name))


async def _fill(redis: Redis) -> None:
    await add_sites(redis, MINE)
    await add_user(redis, "guest", {MINE: "viewer"})


async def _log_in(page: Page) -> None:
    await page.get_by_label("Name").fill("guest")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await page.wait_for_url(lambda url: "/login" not in url)


async def _elsewhere(person: Person) -> tuple[str, web.AppRunner]:
    """Serves a page of somebody else, by another name of this machine, with frames and forms that lead to the dashboard."""
    frames = "".join(
        f'<iframe src="{person.url}{path}"></iframe>' for path in ("/login", "/account", "/", "/api/sites")
    )
    forms = "".join(
        f'<form id="{name.replace("/", "-")}" method="post" action="{person.url}/{name}"><input name="name" value="guest">'
        f'<input name="password" value="{PASSWORD}"><input name="token" value="x"></form>'
        for name in ("logout", "account/sessions", "login")
    )

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=f"<!doctype html><title>evil</title>{frames}{forms}", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://localhost:{runner.addresses[0][1]}/", runner
