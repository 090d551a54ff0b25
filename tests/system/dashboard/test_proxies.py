"""The dashboard as a process behind a real Caddy and a real nginx on the same host: closed without a public URL, and behind a login with one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

from runtime import redis as clients
from runtime.redis import Redis
from tests.support import redis_server
from tests.support.dashboard.people import JSON, NOWHERE, PASSWORD, Person, add_sites, add_user
from tests.support.proxies import caddy, nginx
from tests.support.redis_cluster import free_ports
from tests.support.system import ROOT
from tests.support.waiting import until, wait_until

server = redis_server.server
redis = redis_server.redis
MINE, NAME = "mine.example", "numbers.example.test"
PATHS = (
    "/",
    "/app.js",
    "/login",
    "/api/sites",
    f"/api/sites/{MINE}",
    "/api/health",
    "/metrics",
    "/healthz",
    "/nothing",
)


@contextmanager
def dashboard(url: str, log: Path, **settings: str) -> Iterator[int]:
    """Runs the process inside the block, and gives its port as soon as it listens."""
    named = {"redis_url": url, "clickhouse_url": NOWHERE, "log_format": "text", "dashboard_port": "0", **settings}
    environment = os.environ | {f"FOREBAY_{name.upper()}": value for name, value in named.items()}
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "dashboard"], cwd=ROOT, env=environment, stdout=file, stderr=file
        )
    try:
        wait_until(lambda: "the dashboard is at" in log.read_text())
        yield int(re.findall(r"the dashboard is at http://.*:(\d+)/", log.read_text())[0])
    finally:
        process.terminate()
        process.wait()


def at(port: int, host: str = "", *, is_tls: bool = False) -> Person:
    """Returns a browser that opens a port of this machine under a name."""
    scheme = "https" if is_tls else "http"
    person = Person(None, f"{scheme}://127.0.0.1:{port}", **({"Host": host} if host else {}))
    person.options = {"ssl": False, "server_hostname": NAME} if is_tls else {}
    return person


def site(address: str, port: int, more: str = "") -> str:
    """Returns a site of Caddy that leads to a port of this machine."""
    return f"{address} {{\n reverse_proxy 127.0.0.1:{port} {{\n  {more}\n }}\n}}\n"


def served(listens: int, port: int, more: str = "") -> str:
    """Returns a server of nginx that does the same."""
    return f"server {{ listen 127.0.0.1:{listens}; location / {{ proxy_pass http://127.0.0.1:{port}; {more} }} }}\n"


async def answers(person: Person) -> bool:
    """Tells whether the proxy answers."""
    try:
        return (await person.get("/healthz"))[0] == 200
    except aiohttp.ClientError:
        return False


async def test_without_a_public_url_no_proxy_leads_to_the_dashboard(server: Path, redis: Redis, tmp_path: Path) -> None:
    """Whatever the proxy says of itself and of its client, and under whatever name: its clients are strangers."""
    await add_sites(redis, MINE)
    ports = free_ports(6)
    plain, own_host, bare, forwarding, modern, via = ports
    http_1_1 = 'proxy_http_version 1.1; proxy_set_header Connection "";'
    ways = {
        bare: "",
        forwarding: "proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;",
        modern: f"{http_1_1} proxy_set_header X-Real-IP $remote_addr;",
        via: f"{http_1_1} proxy_set_header Via nginx; proxy_set_header Host localhost;",
    }
    with (
        dashboard(clients.url_of(server), tmp_path / "log") as port,
        caddy(
            tmp_path / "caddy",
            site(f"http://:{plain}", port) + site(f"http://:{own_host}", port, "header_up Host {upstream_hostport}"),
            plain,
            own_host,
        ),
        nginx(tmp_path / "nginx", "".join(served(one, port, more) for one, more in ways.items()), *ways),
    ):
        assert await at(port).panel(MINE) == 503  # somebody on this machine
        assert (await at(port).get("/"))[0] == 200
        for one in ports:
            for host in ("", "localhost", NAME):
                person = at(one, host)
                for path in PATHS:
                    status, text = await person.get(path)
                    assert status == 403, (one, host, path, text)
                    assert MINE not in text
                assert await person.panel(MINE) == 403
                assert (await person.get("/api/v1/stats/aggregate?site_id=mine.example"))[0] == 403


async def test_behind_a_proxy_under_the_public_url_people_log_in(server: Path, redis: Redis, tmp_path: Path) -> None:
    """Through each, from the form to the logout; other names, other origins and forged addresses get nowhere; nothing secret is logged."""
    await add_sites(redis, MINE)
    await add_user(redis, "guest", {MINE: "viewer"})
    secure, anything, usual, bare = free_ports(4)
    url = f"https://{NAME}:{secure}"
    settings = {"dashboard_url": url, "trusted_proxies": "127.0.0.1,::1"}
    secrets = {PASSWORD, "the wrong password here"}
    log = tmp_path / "log"
    headers = "proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;"
    with (
        dashboard(clients.url_of(server), log, **settings) as port,
        caddy(
            tmp_path / "caddy",
            site(f"{NAME}:{secure}", port) + site(f"http://:{anything}", port),
            secure,
            anything,
        ),
        nginx(tmp_path / "nginx", served(usual, port, headers) + served(bare, port), usual, bare),
    ):
        await until(lambda: answers(at(secure, f"{NAME}:{secure}", is_tls=True)))  # a certificate has to be made
        copied: dict[str, str] = {}
        through = [at(secure, f"{NAME}:{secure}", is_tls=True), at(usual, NAME), at(bare, NAME)]
        for person in through:
            for path in ("/api/sites", "/metrics", f"/api/sites/{MINE}"):
                status, text = await person.get(path)
                assert (status, MINE in text) == (401, False), path
            assert (await person.ask("GET", "/"))[2].headers["Location"] == "/login"
            assert (await person.get("/login", Origin="https://evil.example"))[0] == 403
            person.headers |= {"Origin": url, "Sec-Fetch-Site": "same-origin"}
            assert (await person.log_in("guest", "the wrong password here"))[0] == 401
            assert (await person.log_in("guest"))[0] == 303
            assert set(person.cookies) == {"__Host-forebay-session", "__Host-forebay-device"}
            assert await person.panel(MINE) == 503
            assert await person.panel("yours.example") == 404
            copied = dict(person.cookies)
            secrets |= {part for text in copied.values() for part in text.split(".")[1:]}
            token = await person.token("/account")
            secrets.add(token)
            assert (await person.send("/logout", {"token": token}))[0] == 303
            person.cookies = copied
            assert await person.panel(MINE) == 401
        for host in ("evil.example", f"{NAME}.evil.example", "10.0.0.1"):
            rebound = at(anything, host)
            rebound.cookies = dict(copied)
            for path in PATHS:
                assert (await rebound.get(path))[0] == 403, (host, path)
        assert [await at(port).panel(MINE), (await at(port).get("/metrics"))[0]] == [401, 200]
        forged = through[0].another(**through[0].headers)
        statuses: list[int] = []
        while 429 not in statuses:
            assert len(statuses) < 60
            forged.headers["X-Forwarded-For"] = f"203.0.113.{len(statuses)}"
            statuses.append((await forged.log_in(f"user{len(statuses)}", "the wrong password here"))[0])
        said = (await at(port).get("/metrics"))[1]
        assert 'forebay_dashboard_logins_total{fate="throttled_address"} 1.0' in said
    text = log.read_text() + said + "".join((tmp_path / name / "log").read_text() for name in ("caddy", "nginx"))
    assert not [secret for secret in secrets if secret in text]


@pytest.mark.parametrize("host", ["0.0.0.0", ""])
async def test_with_a_public_url_it_listens_elsewhere(server: Path, redis: Redis, tmp_path: Path, host: str) -> None:
    """As in a container. Only the host of the public URL and loopback are answered, and nobody without a login."""
    await add_sites(redis, MINE)
    settings = {"dashboard_url": f"http://{NAME}", "dashboard_host": host}
    with dashboard(clients.url_of(server), tmp_path / "log", **settings) as port:
        for name, status in ((NAME, 401), (f"{NAME}:{port}", 401), ("", 401), ("evil.example", 403)):
            assert (await at(port, name).ask("POST", "/api/panel", data=b"{}", headers=JSON))[0] == status, name
