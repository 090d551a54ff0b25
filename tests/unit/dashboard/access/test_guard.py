"""Who is answered by the dashboard: programs and pages of this machine, and no web page of anybody else's."""

from __future__ import annotations

from typing import Any

import pytest
from multidict import CIMultiDict

from dashboard.access.guard import FORWARDING, Asked, Door, Refusal, is_local

HERE = "127.0.0.1:8003"
JSON = {"Content-Type": "application/json"}


PUBLIC = "https://stats.example.com"
FORMS = ("/login", "/logout")
PAGE = (("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document"))


def judged(
    *headers: tuple[str, str],
    peer: str = "127.0.0.1",
    path: str = "/api/panel",
    method: str = "GET",
    url: str = "",
    version: tuple[int, int] = (1, 1),
    target: str = "/",
) -> Refusal | None:
    asked = Asked(peer=peer, path=path, method=method, headers=CIMultiDict(headers), version=version, target=target)
    return Door(url, FORMS).refusal(asked)


def why(*headers: tuple[str, str], **asked: Any) -> str:
    found = judged(*headers, **asked)
    return found.why if found is not None else ""


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8003", "127.0.0.1:8003", "127.9.9.9", "[::1]:8003"])
def test_loopback_is_answered_by_its_names(host: str) -> None:
    """With or without a port, and for a browser that somebody typed the address into."""
    assert judged(("Host", host)) is None
    assert judged(("Host", host), ("Sec-Fetch-Site", "none"), ("Sec-Fetch-Mode", "navigate"), path="/") is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8003",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "evil.example#127.0.0.1",
        "localhost:8003/evil.example",
        "localhost:123456",
        "10.0.0.1:8003",
        "[::ffff:10.0.0.1]",
        "0.0.0.0:8003",
        "2130706433",
        "127.\u0660.0.1",
        "",
        "localhost, evil.example",
    ],
)
def test_a_rebound_name_is_refused(host: str) -> None:
    """A name that its owner points here shows in Host, whatever it looks like."""
    assert why(("Host", host)) == "host"
    assert why(("Host", host), path="/api/v2/query", method="POST") == "host"


def test_host_is_said_once() -> None:
    """Two of them, or none, may mean something else to somebody between."""
    assert why() == "host"
    assert why(("Host", HERE), ("Host", HERE)) == "host"
    assert why(("Host", "evil.example"), ("Host", HERE)) == "host"


@pytest.mark.parametrize(
    "name",
    [
        *FORWARDING,
        "x-forwarded-anything",
        "X-Forwarded",
        "Forwarded-For",
        "Tailscale-User-Login",
        "CF-Connecting-IP",
        "CF-Ray",
        "forwarded",
        "X-FORWARDED-FOR",
    ],
)
def test_a_proxy_is_refused(name: str) -> None:
    """A header that proxies set is enough, whatever its value; also for the Stats API."""
    for path in ("/", "/api/panel", "/api/v1/stats/aggregate", "/api/v2/query", "/healthz"):
        assert why(("Host", HERE), (name, ""), path=path) == "proxy"


@pytest.mark.parametrize("target", ["http://evil.example/api/panel", "https://localhost/", "evil.example:443", "*"])
def test_a_request_as_to_a_proxy_is_refused(target: str) -> None:
    """The host in its first line counts, whatever Host says; under a public URL it has to log in like everybody."""
    assert why(("Host", HERE), target=target) == "proxy"
    assert not is_local(Asked("127.0.0.1", "/", "GET", CIMultiDict({"Host": HERE}), (1, 1), target))
    assert why(("Host", "stats.example.com"), target=target, url=PUBLIC) == ""


@pytest.mark.parametrize("peer", ["10.0.0.7", "192.168.1.4", "::ffff:10.0.0.7", "fe80::1%eth0", "", "nonsense"])
def test_another_machine_is_refused(peer: str) -> None:
    """Also if it says Host: localhost."""
    assert why(("Host", HERE), peer=peer) == "peer"


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.1.2.3", "::1"])
def test_this_machine_is_answered(peer: str) -> None:
    """By IPv4 and IPv6."""
    assert judged(("Host", HERE), peer=peer) is None


@pytest.mark.parametrize("site", ["cross-site", "same-site", "Cross-Site", "", "none, cross-site", "?"])
def test_what_another_page_asks_is_refused(site: str) -> None:
    """A script, a form, a picture or a link: the browser says who asked. Another port of localhost is another page."""
    assert why(("Host", HERE), ("Sec-Fetch-Site", site)) == "site"
    assert why(("Host", HERE), ("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", "navigate"), path="/") == "site"
    assert why(("Host", HERE), ("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")) == "site"


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://127.0.0.1:8003",
        "http://127.0.0.1:8004",
        "http://127.0.0.1",
        "http://localhost:8003",
        "null",
        "",
        "http://127.0.0.1:8003.evil.example",
    ],
)
def test_a_foreign_origin_is_refused(origin: str) -> None:
    """It must be this port by the same name; a page in a sandbox or a file is `null`."""
    assert why(("Host", HERE), ("Origin", origin)) == "origin"
    assert why(("Host", HERE), ("Origin", f"http://{HERE}")) == ""


@pytest.mark.parametrize("path", ["/metrics", "/metrics/sites"])
def test_metrics_are_asked_by_any_name_with_a_key(path: str) -> None:
    """By Prometheus, under a public URL; the key is looked at behind the door. Without one, or for anything else, a name counts."""
    inner, key = ("Host", "dashboard:8003"), ("Authorization", "Bearer fbk_x")
    assert why(inner, key, path=path, url=PUBLIC, peer="172.18.0.5") == ""
    assert why(inner, path=path, url=PUBLIC) == "host"
    assert why(inner, key, path=path) == "host"
    assert why(inner, key, path=path, peer="172.18.0.5") == "peer"
    for other in ("/", "/mcp", "/api/sites", "/api/v2/query", "/metricsx", "/api/metrics"):
        assert why(inner, key, path=other, url=PUBLIC) == "host"


def test_the_stats_api_is_for_other_sites_too() -> None:
    """It asks for a key, and a page that has one may use it."""
    foreign = (("Host", HERE), ("Origin", "https://app.example"), ("Sec-Fetch-Site", "cross-site"))
    assert judged(*foreign, path="/api/v1/stats/aggregate") is None
    assert judged(*foreign, path="/api/v2/query", method="POST") is None
    assert judged(*foreign, path="/api/v2/query", method="OPTIONS") is None
    for path in ("/api/v1/statsx", "/api/v2", "/api/V2/query", "/api/v2x/query", "/api/../api/v2/query"):
        assert why(*foreign, path=path) == "site"


def test_a_form_can_change_nothing() -> None:
    """What changes something has a type and a header that only a script of the page can set."""
    here, forged = ("Host", HERE), ("Content-Type", "text/plain; application/json")
    found = judged(here, forged, method="POST")
    assert found is not None
    assert (found.why, found.status) == ("type", 415)
    assert why(here, method="POST") == "type"
    assert why(here, *JSON.items(), method="POST") == ""
    for method in ("PUT", "DELETE", "PATCH"):
        assert why(here, *JSON.items(), method=method) == "write"
        assert why(here, *JSON.items(), ("X-Forebay", "1"), method=method) == ""


def test_a_sentence_says_why() -> None:
    """It names what was found, and cuts it."""
    found = judged(("Host", "e" * 500))
    assert found is not None
    assert "localhost" in found.sentence
    assert len(found.sentence) < 200


def test_a_proxy_that_adds_nothing_is_refused() -> None:
    """Before 1.29.7, and unless it is told otherwise, nginx asks the server behind it by HTTP/1.0, with a Host of its own and no header that shows it."""
    assert why(("Host", HERE), version=(1, 0)) == "proxy"
    assert not is_local(Asked("127.0.0.1", "/", "GET", CIMultiDict({"Host": HERE}), (1, 0)))
    assert is_local(Asked("127.0.0.1", "/", "GET", CIMultiDict({"Host": HERE}), (1, 1)))


@pytest.mark.parametrize(
    "host", ["stats.example.com", "STATS.example.com:443", "stats.example.com:8443", HERE, "localhost"]
)
def test_a_public_url_opens_one_name(host: str) -> None:
    """From any peer and through any proxy; whoever asks has to log in then."""
    through = (("Host", host), ("X-Forwarded-For", "203.0.113.7"), ("Via", "1.1 proxy"))
    for path in ("/", "/api/panel", "/api/v2/query", "/healthz"):
        assert judged(*through, peer="10.0.0.7", path=path, url=PUBLIC, version=(1, 0)) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "stats.example.com.evil.example",
        "evil.stats.example.com",
        "stats.example.com:443:443",
        "stats.example.com@evil.example",
        "stats.example.com.",
        "xstats.example.com",
        "10.0.0.7:8003",
        "",
    ],
)
def test_a_public_url_opens_no_other_name(host: str) -> None:
    """A name that somebody else points here is refused as before."""
    assert why(("Host", host), url=PUBLIC) == "host"
    assert why(("Host", host), peer="10.0.0.7", path="/api/v2/query", url=PUBLIC) == "host"


def test_a_public_url_opens_one_origin() -> None:
    """That of the URL, whatever Host a proxy says; with loopback's Host that of loopback too."""
    for host in ("stats.example.com", HERE):
        assert why(("Host", host), ("Origin", PUBLIC), url=PUBLIC) == ""
        for origin in (
            "http://stats.example.com",
            "https://stats.example.com:8443",
            "https://evil.example",
            "null",
            "",
            " ",
        ):
            assert why(("Host", host), ("Origin", origin), url=PUBLIC) == "origin"
    assert why(("Host", HERE), ("Origin", f"http://{HERE}"), url=PUBLIC) == ""
    assert why(("Host", "stats.example.com"), ("Origin", "http://stats.example.com"), url=PUBLIC) == "origin"


def test_a_link_opens_a_page_and_nothing_else() -> None:
    """From a mail or another site; in a frame, for a script, and for data it is refused. On loopback alone it is always refused."""
    link = (("Host", "stats.example.com"), ("Sec-Fetch-Site", "cross-site"))
    assert why(*link, *PAGE, path="/", url=PUBLIC) == ""
    assert why(*link, *PAGE, path="/login", url=PUBLIC) == ""
    assert why(*link, PAGE[0], ("Sec-Fetch-Dest", "iframe"), path="/login", url=PUBLIC) == "site"
    assert why(*link, ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "script"), path="/app.js", url=PUBLIC) == "site"
    assert why(*link, *PAGE, path="/api/export.zip", url=PUBLIC) == "site"
    assert why(*link, *PAGE, path="/login", method="POST", url=PUBLIC) == "site"
    assert why(("Host", HERE), link[1], *PAGE, path="/") == "site"


def test_a_form_is_taken_where_forms_are() -> None:
    """They have a token of their own; what they may not be is anything else."""
    form = ("Content-Type", "application/x-www-form-urlencoded")
    assert why(("Host", HERE), form, path="/login", method="POST") == ""
    assert why(("Host", HERE), *JSON.items(), path="/login", method="POST") == "type"
    assert why(("Host", HERE), form, path="/api/panel", method="POST") == "type"
    assert why(("Host", HERE), form, ("Origin", "https://evil.example"), path="/login", method="POST") == "origin"
