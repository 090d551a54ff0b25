"""ingest/agents/agent.py and software.py: names and versions of browsers and systems, and the verdict of a head."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.agents.agent import Agent, Agents
from ingest.agents.software import NAME_CHARS_MAX
from schemas.bots import BotReason
from tests.support import collecting

MOZILLA = "Mozilla/5.0 "
WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko) "
APPLE = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 "


@pytest.fixture(scope="module")
def agents() -> Agents:
    return collecting.agents()


def read(agents: Agents, user_agent: str, **hints: str) -> Agent:
    """Reads a head with this User-Agent, and with client hints by the ends of their names."""
    fields = {b"user-agent": user_agent.encode(), b"accept-language": b"en"}
    named = {"brands": b"sec-ch-ua"} | {
        name: b"sec-ch-ua-" + name.replace("_", "-").encode()
        for name in ("mobile", "platform", "platform_version", "model")
    }
    return agents.of(fields | {named[name]: value.encode() for name, value in hints.items()})


CHROMIUM = WEBKIT + "Chrome/143.0.0.0 "
MAC = "(Macintosh; Intel Mac OS X 10_15_7) "
IPHONE = "(iPhone; CPU iPhone OS 18_6 like Mac OS X) "
KIT = "AppleWebKit/605.1.15 (KHTML, like Gecko) "


@pytest.mark.parametrize(
    ("user_agent", "browser", "version", "os", "os_version"),
    [
        ("(X11; Linux x86_64) " + CHROMIUM + "Safari/537.36", "Chrome", "143", "Linux", ""),
        (
            "(Windows NT 10.0; Win64; x64) " + CHROMIUM + "Safari/537.36 Edg/143.0.0.0",
            "Edge",
            "143",
            "Windows",
            "10",
        ),
        ("(Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox", "145", "Windows", "10"),
        ("(PlayStation 4 11.52) AppleWebKit/605.1.15 (KHTML, like Gecko)", "", "", "PlayStation", ""),
        (
            "(New Nintendo 3DS like iPhone) AppleWebKit/536.30 (KHTML, like Gecko) NX/3.0.0.5.23 Mobile NintendoBrowser/1.12",
            "NetFront NX",
            "3",
            "Nintendo",
            "",
        ),
        ("(Windows NT 6.3; rv:52.0) Gecko/20100101 Firefox/52.0", "Firefox", "52", "Windows", "8.1"),
        ("(Windows NT 5.1; rv:52.0) Gecko/20100101 Firefox/52.0", "Firefox", "52", "Windows", "XP"),
        ("(Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko", "Internet Explorer", "11", "Windows", "10"),
        (MAC + APPLE + "Safari/605.1.15", "Safari", "18", "macOS", "10.15"),
        ("(Macintosh; Intel Mac OS X 11_2_3) " + CHROMIUM + "Safari/537.36", "Chrome", "143", "macOS", "11"),
        ("(X11; CrOS x86_64 14541.0.0) " + CHROMIUM + "Safari/537.36", "Chrome", "143", "Chrome OS", ""),
        ("(X11; Ubuntu; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox", "145", "Ubuntu", ""),
        ("(Linux; Android 10; K) " + CHROMIUM + "Mobile Safari/537.36", "Chrome", "143", "Android", "10"),
        ("(Linux; Android 10; K) " + CHROMIUM + "Mobile Safari/537.36 EdgA/143.0.0.0", "Edge", "143", "Android", "10"),
        ("(Linux; Android 10; K) " + CHROMIUM + "Mobile Safari/537.36 OPR/92.0.0.0", "Opera", "92", "Android", "10"),
        ("(Android 15; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0", "Firefox", "145", "Android", "15"),
        (
            "(Linux; Android 14; SM-S918B; wv) " + WEBKIT + "Version/4.0 Chrome/143.0.0.0 Mobile Safari/537.36",
            "Android WebView",
            "143",
            "Android",
            "14",
        ),
        (
            "(Linux; Android 14; SM-S918B; wv) "
            + WEBKIT
            + "Version/4.0 Chrome/143.0.0.0 Mobile Safari/537.36 Instagram 330.0.0.40.92 Android",
            "Instagram",
            "330",
            "Android",
            "14",
        ),
        (IPHONE + APPLE + "Mobile/15E148 Safari/604.1", "Safari", "18", "iOS", "18"),
        (IPHONE + KIT + "Version/26.1 Mobile/15E148 Safari/604.1", "Safari", "26", "iOS", "26"),
        (IPHONE + KIT + "CriOS/143.0 Mobile/15E148 Safari/604.1", "Chrome", "143", "iOS", "18"),
        (IPHONE + KIT + "FxiOS/145.0 Mobile/15E148 Safari/605.1.15", "Firefox", "145", "iOS", "18"),
        (IPHONE + KIT + "Mobile/15E148", "iOS WebView", "", "iOS", "18"),
        (MAC + KIT + "Mobile/15E148", "iOS WebView", "", "iOS", ""),
        (MAC + KIT + "Version/17.1 Mobile/15E148 DuckDuckGo/7 Safari/605.1.15", "DuckDuckGo", "7", "iOS", "17"),
        (MAC + KIT + "CriOS/143 Version/11.1.1 Safari/605.1.15", "Chrome", "143", "iOS", ""),
        ("(Phone; OpenHarmony 5.0) " + CHROMIUM + "Safari/537.36 Mobile", "Chrome", "143", "HarmonyOS", ""),
    ],
)
def test_a_browser_has_the_name_that_people_use(
    agents: Agents, user_agent: str, browser: str, version: str, os: str, os_version: str
) -> None:
    """The same name on every device, the major version where the agent says one, and no verdict."""
    found = read(agents, MOZILLA + user_agent)
    assert found[:4] == (browser, version, os, os_version)
    assert (found.bot, found.bot_reasons) == ("", 0)


WINDOWS = MOZILLA + "(Windows NT 10.0; Win64; x64) " + CHROMIUM + "Safari/537.36"
ANDROID = MOZILLA + "(Linux; Android 10; K) " + CHROMIUM + "Mobile Safari/537.36"
BRAVE = '"Chromium";v="143", "Brave";v="143", "Not A(Brand";v="24"'
GOOGLE = '"Google Chrome";v="143", "Chromium";v="143", "Not A(Brand";v="24"'


@pytest.mark.parametrize(
    ("user_agent", "hints", "expected"),
    [
        (WINDOWS, {"brands": BRAVE, "platform": '"Windows"'}, ("Brave", "143", "Windows", "10")),
        (WINDOWS, {"brands": GOOGLE, "platform": '"Windows"'}, ("Chrome", "143", "Windows", "10")),
        (
            WINDOWS,
            {"brands": GOOGLE, "platform": '"Windows"', "platform_version": '"15.0.0"'},
            ("Chrome", "143", "Windows", "11"),
        ),
        (
            WINDOWS,
            {"brands": GOOGLE, "platform": '"Windows"', "platform_version": '"10.0.0"'},
            ("Chrome", "143", "Windows", "10"),
        ),
        (
            MOZILLA + MAC + CHROMIUM + "Safari/537.36",
            {"brands": GOOGLE, "platform": '"macOS"', "platform_version": '"15.6.1"'},
            ("Chrome", "143", "macOS", "15"),
        ),
        (
            ANDROID,
            {"brands": GOOGLE, "platform": '"Android"', "platform_version": '"16.0.0"'},
            ("Chrome", "143", "Android", "16"),
        ),
        (
            WINDOWS + " YaBrowser/25.10.0.0",
            {"brands": '"Chromium";v="143", "YaBrowser";v="25.10", "Not_A Brand";v="99", "Yowser";v="2.5"'},
            ("Yandex Browser", "25", "Windows", "10"),
        ),
        (
            ANDROID + " Instagram 330.0.0.40.92 Android",
            {"brands": '"Android WebView";v="143", "Chromium";v="143"'},
            ("Instagram", "330", "Android", "10"),
        ),
        (WINDOWS, {"brands": '"Chromium";v="143", "Invented";v="7"'}, ("Chrome", "143", "Windows", "10")),
        (WINDOWS, {"brands": '"Chromium";v="143", "Not/A)Brand";v="8"'}, ("Chromium", "143", "Windows", "10")),
        (WINDOWS, {"brands": "nonsense", "platform": "7", "platform_version": "x"}, ("Chrome", "143", "Windows", "10")),
    ],
)
def test_hints_say_what_a_frozen_agent_does_not(
    agents: Agents, user_agent: str, hints: dict[str, str], expected: tuple[str, ...]
) -> None:
    """The brand where the agent names an engine alone, and the system's version; unknown brands are no names."""
    found = read(agents, user_agent, **hints)
    assert found[:4] == expected
    assert (found.bot, found.bot_reasons) == ("", 0)


LIBRARY = BotReason.LIBRARY | BotReason.NOT_A_BROWSER
FIREFOX = MOZILLA + "(Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"


@pytest.mark.parametrize(
    ("user_agent", "hints"),
    [
        (FIREFOX, {"brands": GOOGLE, "platform": '"Windows"'}),
        (MOZILLA + MAC + APPLE + "Safari/605.1.15", {"brands": GOOGLE, "platform": '"macOS"'}),
        (WINDOWS, {"brands": GOOGLE, "platform": '"Linux"'}),
        (ANDROID, {"brands": GOOGLE, "platform": '"Windows"'}),
        (MOZILLA + MAC + CHROMIUM + "Safari/537.36", {"brands": GOOGLE, "platform": '"Android"'}),
    ],
)
def test_hints_that_contradict_the_agent_are_a_reason_and_no_verdict(
    agents: Agents, user_agent: str, hints: dict[str, str]
) -> None:
    """Somebody who changes the agent by an extension stays a person; together with another reason it is a bot."""
    found = read(agents, user_agent, **hints)
    assert (found.bot, found.bot_reasons) == ("", BotReason.HEADERS)


def test_an_android_that_asks_for_desktop_pages_contradicts_nothing(agents: Agents) -> None:
    """Its agent is that of a PC with Linux, and its hints may say what it is."""
    found = read(
        agents,
        MOZILLA + "(X11; Linux x86_64) " + CHROMIUM + "Safari/537.36",
        brands=GOOGLE,
        platform='"Android"',
        mobile="?0",
    )
    assert (found.os, found.device, found.bot_reasons) == ("Android", "tablet", 0)


def test_hints_that_name_a_browser_without_a_window_are_a_verdict(agents: Agents) -> None:
    """A program that changes the agent forgets the hints."""
    found = read(agents, WINDOWS, brands='"Chromium";v="143", "HeadlessChrome";v="143"', platform='"Windows"')
    assert (found.bot, found.bot_reasons) == ("headless", BotReason.HEADLESS)


def test_a_browser_without_a_language_is_a_reason_and_no_verdict(agents: Agents) -> None:
    """A proxy may have dropped the header. A library never has one, and that says nothing more of it."""
    assert agents.of({b"user-agent": WINDOWS.encode()})[5:7] == ("", BotReason.HEADERS)
    assert agents.of({b"user-agent": b"python-requests/2.32.3"})[5:7] == ("library", LIBRARY)


def test_the_threshold_decides_and_the_reasons_stay() -> None:
    """The same head, judged by two thresholds."""
    fields = {b"user-agent": WINDOWS.encode()}
    assert Agents(threshold=30).of(fields)[5:7] == ("headers", BotReason.HEADERS)
    assert Agents(threshold=1_000).of({b"user-agent": b"curl/8.5.0"})[5:7] == ("", LIBRARY)


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
    assert read(agents, user_agent).bot == verdict


def test_only_the_beginning_of_a_long_one_is_read(agents: Agents) -> None:
    """Time and memory of a user agent are bounded; what says bot after 1 KiB is not seen."""
    assert read(agents, collecting.CHROME.decode() + " " * 2_000 + "Googlebot/2.1").bot == ""


@given(st.binary(max_size=300), st.binary(max_size=300), st.binary(max_size=40), st.binary(max_size=40))
def test_any_bytes_are_read(user_agent: bytes, brands: bytes, platform: bytes, version: bytes) -> None:
    """Nothing is raised, and all of it is text that is not longer than what was read."""
    found = collecting.agents().of(
        {
            b"user-agent": user_agent,
            b"sec-ch-ua": brands,
            b"sec-ch-ua-platform": platform,
            b"sec-ch-ua-platform-version": version,
        }
    )
    assert all(text.encode("utf-8") is not None for text in found if isinstance(text, str))
    assert len(found.browser) <= NAME_CHARS_MAX
    assert len(found.os) <= NAME_CHARS_MAX


def test_an_agent_of_a_megabyte_costs_no_more_than_its_beginning(agents: Agents) -> None:
    """So do hints: what is remembered of a head is bounded."""
    found = agents.of({b"user-agent": b"Mozilla/5.0 " + b"x" * (1 << 20), b"sec-ch-ua": b'"' * (1 << 20)})
    assert found.browser == ""


def test_what_was_read_is_remembered_within_a_bound() -> None:
    """A stranger's endless user agents push each other out."""
    agents = Agents(cached=10)
    for at in range(100):
        agents.of({b"user-agent": b"agent %d" % at})
    assert agents.known.cache_info().currsize == 10
