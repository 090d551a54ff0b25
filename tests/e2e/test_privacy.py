"""A visitor's request leaves rows behind, and nothing else."""

import asyncio
import http.client
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.system import System, running
from tests.support.waiting import until

ADDRESS = "203.0.113.77"
AGENT = "CanaryBrowser/77.1 (Windows NT 10.0)"
PAGE = "https://canary.test/secret-page"
BODIES = (
    f'{{"url": "{PAGE}?token=hunter2", "title": "canary title", "id": "kept"}}',
    f'{{"url": "{PAGE}", "name": 7}}',
    f'[{{"url": "{PAGE}"}}, {{"url": "nowhere"}}]',
    f'{{"url": "{PAGE}"',
)


# So much of it is taken that the workers share it, and none is refused.
LIMITED = {"FOREBAY_CLIENT_LIMIT": "1/h,burst=3"}


def post(url: str, body: str) -> int:
    at = urlsplit(url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port or 0, timeout=60)
    headers = {"Content-Type": "application/json", "X-Forwarded-For": ADDRESS, "User-Agent": AGENT}
    connection.request("POST", "/f", body.encode(), headers)
    status = connection.getresponse().status
    connection.close()
    return status


def files_with(system: System, words: tuple[str, ...]) -> list[str]:
    """Returns the installation's files that hold one of these texts, as they are on disk now."""
    found = []
    for path in (system.log, *system.data.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            found += [f"{path.name}: {word}" for word in words if word.encode() in content]
    return found


async def test_no_log_line_and_no_file_holds_an_address_a_url_or_an_agent(tmp_path: Path) -> None:
    """A visitor's traits are canaries, in good and bad requests: no log line has them, and no file has the address."""
    async with running(tmp_path, FOREBAY_TRUSTED_PROXIES="127.0.0.0/8,::1/128", **LIMITED) as system:
        url = system.facts()["url"]
        statuses = [await asyncio.to_thread(post, url, body) for body in BODIES]
        assert statuses == [202, 400, 202, 400]
        await system.stored("site = 'canary.test'", 2)
        rows = await system.ask("SELECT * FROM forebay.events WHERE site = 'canary.test'")
        assert ADDRESS not in str(rows), "the address is in no column"
        assert "hunter2" not in str(rows), "nor is a query parameter nobody allowed"
        assert len({row[5] for row in rows}) == 1, "the visitor is the address and agent, hashed"
        await until(lambda: files_with(system, ("forebay:limit:",)) != [])  # the address is hashed there too
        assert await system.stop() == 0
        log = system.log.read_text("utf-8", "replace")
        for canary in (ADDRESS, AGENT, "CanaryBrowser", PAGE, "secret-page", "canary title", "hunter2"):
            assert canary not in log
        assert files_with(system, (ADDRESS, "hunter2")) == []
