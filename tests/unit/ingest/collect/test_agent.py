"""ingest/collect/agent.py: browser, system, device and verdict of user agents."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.collect.agent import Agents
from tests.support import collecting

MOZILLA = "Mozilla/5.0 "
WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko) "
APPLE = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 "


@pytest.fixture(scope="module")
def agents() -> Agents:
    return collecting.agents()


@pytest.mark.parametrize(
    ("user_agent", "browser", "os", "device"),
    [
        ("(X11; Linux x86_64) " + WEBKIT + "Chrome/143.0.0.0 Safari/537.36", "Chrome", "Linux", "desktop"),
        (
            "(Windows NT 10.0; Win64; x64) " + WEBKIT + "Chrome/143.0.0.0 Safari/537.36 Edg/143.0.0.0",
            "Edge",
            "Windows",
            "desktop",
        ),
        ("(Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox", "Windows", "desktop"),
        ("(Macintosh; Intel Mac OS X 10_15_7) " + APPLE + "Safari/605.1.15", "Safari", "Mac OS X", "desktop"),
        ("(X11; CrOS x86_64 14541.0.0) " + WEBKIT + "Chrome/141.0.0.0 Safari/537.36", "Chrome", "Chrome OS", "desktop"),
        (
            "(Linux; Android 10; K) " + WEBKIT + "Chrome/143.0.0.0 Mobile Safari/537.36",
            "Chrome Mobile",
            "Android",
            "mobile",
        ),
        ("(Linux; Android 13; SM-X700) " + WEBKIT + "Chrome/120.0.0.0 Safari/537.36", "Chrome", "Android", "tablet"),
        ("(Android 15; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0", "Firefox Mobile", "Android", "mobile"),
        (
            "(iPhone; CPU iPhone OS 18_6 like Mac OS X) " + APPLE + "Mobile/15E148 Safari/604.1",
            "Mobile Safari",
            "iOS",
            "mobile",
        ),
        ("(iPad; CPU OS 17_0 like Mac OS X) " + APPLE + "Mobile/15E148 Safari/604.1", "Mobile Safari", "iOS", "tablet"),
        (
            "(SMART-TV; Linux; Tizen 6.0) " + WEBKIT + "SamsungBrowser/3.1 Chrome/76.0.0.0 TV Safari/537.36",
            "Samsung Internet",
            "Tizen",
            "",
        ),
        (
            "(Linux; Android 9; CUBOT_X18) " + WEBKIT + "Chrome/96.0.0.0 Mobile Safari/537.36",
            "Chrome Mobile",
            "Android",
            "mobile",
        ),
    ],
)
def test_a_browser_is_a_person(agents: Agents, user_agent: str, browser: str, os: str, device: str) -> None:
    """Families and device class, and no verdict."""
    assert agents.of((MOZILLA + user_agent).encode()) == (browser, os, device, "")


@pytest.mark.parametrize(
    ("user_agent", "verdict"),
    [
        ("", "no_user_agent"),
        ("  ", "no_user_agent"),
        (MOZILLA + "(X11; Linux x86_64) " + WEBKIT + "HeadlessChrome/143.0.0.0 Safari/537.36", "headless"),
        (
            MOZILLA + "(Unknown; Linux x86_64) AppleWebKit/538.1 (KHTML, like Gecko) PhantomJS/2.1.1 Safari/538.1",
            "headless",
        ),
        (MOZILLA + "(compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "crawler"),
        (
            MOZILLA
            + "(Linux; Android 6.0.1; Nexus 5X Build/MMB29P) "
            + WEBKIT
            + "Chrome/143.0.0.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "crawler",
        ),
        (MOZILLA + "(compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "crawler"),
        (MOZILLA + WEBKIT + "(compatible; GPTBot/1.2; +https://openai.com/gptbot)", "crawler"),
        ("facebookexternalhit/1.1", "crawler"),
        (MOZILLA + "(compatible; Yahoo! Slurp)", "crawler"),
        ("Screaming Frog SEO Spider/20.0", "crawler"),
        ("UptimeRobot/2.0", "crawler"),
        ("curl/8.5.0", "library"),
        ("python-requests/2.32.3", "library"),
        ("Go-http-client/2.0", "library"),
        ("okhttp/4.12.0", "library"),
        ("axios/1.7.2", "library"),
        ("Wget/1.21", "library"),
    ],
)
def test_what_looks_automated_has_a_verdict(agents: Agents, user_agent: str, verdict: str) -> None:
    """The first rule that fits says why."""
    assert agents.of(user_agent.encode()).bot == verdict


def test_only_the_beginning_of_a_long_one_is_read(agents: Agents) -> None:
    """Time and memory of a user agent are bounded; what says bot after 1 KiB is not seen."""
    assert agents.of(collecting.CHROME + b" " * 2_000 + b"Googlebot/2.1").bot == ""


@given(st.binary(max_size=300))
def test_any_bytes_are_read(user_agent: bytes) -> None:
    """Nothing is raised, and all of it is text."""
    assert all(text.encode("utf-8") is not None for text in collecting.agents().of(user_agent))


def test_what_was_read_is_remembered_within_a_bound() -> None:
    """A stranger's endless user agents push each other out."""
    agents = Agents(cached=10)
    for at in range(100):
        agents.of(b"agent %d" % at)
    assert agents.of.cache_info().currsize == 10
