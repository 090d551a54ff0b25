"""What people see who have logged in, with numbers behind it: the list of sites, health, downloads and gauges have their own sites alone."""

from __future__ import annotations

import io
import json
import time
import zipfile
from typing import Any
from urllib.parse import quote

from schemas.redis.keys import SITES_KEY, rejected_key
from schemas.site import RegisteredSite
from tests.servers.dashboard.web.conftest import SITE, Browser, another
from tests.support.dashboard.people import Person, add_user

OTHER = "shop.example"  # has events, too
DAYS = {"period": "2026-03-01,2026-03-03"}


async def said(person: Person, path: str) -> Any:
    """Returns the JSON at a path."""
    status, text = await person.get(path)
    assert status == 200, text
    return json.loads(text)


async def test_a_viewer_sees_the_numbers_of_own_sites_alone(browser: Browser) -> None:
    """And they are those that somebody on this machine sees; an admin of all sites sees every site."""
    await browser.redis.hset(SITES_KEY, OTHER, RegisteredSite().encode())
    for name in (SITE, OTHER):
        await browser.redis.hset(rejected_key(time.time()), f"bad_field {name}", "3")
    async with another(browser, site_metrics_max=100) as local:
        before = {path: await local.get(path) for path in ("/api/sites", f"/api/sites/{SITE}")}
        rows = await local.rows("pages")
        assert {SITE, OTHER} <= {one["name"] for one in before["/api/sites"]}
        await add_user(browser.redis, "guest", {SITE: "viewer"})
        await add_user(browser.redis, "root", {"*": "viewer"})
        guest, root = Person(None, local.url), Person(None, local.url)
        await guest.log_in("guest")
        await root.log_in("root")

        assert await said(guest, "/api/sites") == [one for one in before["/api/sites"] if one["name"] == SITE]
        assert await said(root, "/api/sites") == before["/api/sites"]
        facts = await said(guest, f"/api/sites/{SITE}")
        assert facts == {**before[f"/api/sites/{SITE}"], "may_change": False}

        asked = quote(json.dumps({"site": SITE, "panel": "pages", **DAYS}))
        status, csv = await guest.get(f"/api/panel.csv?q={asked}")
        assert (status, len(csv.splitlines())) == (200, len(rows) + 1)
        assert (await guest.get(f"/api/export.zip?q={asked}"))[0] == 200
        assert "pages.csv" in zipfile.ZipFile(io.BytesIO(guest.body)).namelist()

        health, whole = await said(guest, "/api/health"), await said(root, "/api/health")
        assert {one["where"] for one in health["rejected"]} == {SITE}
        assert {SITE, OTHER} <= {one["where"] for one in whole["rejected"]}
        assert health["last_event"] is None

        gauges, all_gauges = [(await one.get("/metrics/sites"))[1] for one in (guest, root)]
        assert (SITE in gauges, OTHER in gauges, OTHER in all_gauges) == (True, False, True)
        assert (await Person(None, local.url).get("/metrics/sites"))[0] == 401
