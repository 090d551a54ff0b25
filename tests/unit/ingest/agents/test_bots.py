"""ingest/agents/bots.py and bot_patterns.py: who is a program, by its User-Agent. `make bots` measures the same on whole lists."""

from __future__ import annotations

import random
import re
import string

import pytest
import re2
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.agents import bot_patterns
from ingest.agents.bot_patterns import DROPPED, PURPOSES, patterns, split
from ingest.agents.bots import NO_USER_AGENT, PERSON, Bots
from schemas.bots import BotReason

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
CHROME = f"{WEBKIT} Chrome/143.0.0.0 Safari/537.36"
PHONE = f"{WEBKIT} Chrome/143.0.0.0 Mobile Safari/537.36"
WEBVIEW = f"{WEBKIT} Version/4.0 Chrome/143.0.0.0 Mobile Safari/537.36"
IPHONE = "(iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
MAC = "(Macintosh; Intel Mac OS X 10_15_7)"
WINDOWS = "(Windows NT 10.0; Win64; x64)"

PEOPLE = {
    "Chrome": f"Mozilla/5.0 {WINDOWS} {CHROME}",
    "Edge": f"Mozilla/5.0 {WINDOWS} {CHROME} Edg/143.0.0.0",
    "Opera": f"Mozilla/5.0 {WINDOWS} {CHROME} OPR/124.0.0.0",
    "Firefox": f"Mozilla/5.0 {WINDOWS[:-1]}; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Safari": f"Mozilla/5.0 {MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15",
    "Safari of an iPhone": f"Mozilla/5.0 {IPHONE} Version/18.6 Mobile/15E148 Safari/604.1",
    "Chrome of an iPhone": f"Mozilla/5.0 {IPHONE} CriOS/143.0.7499.38 Mobile/15E148 Safari/604.1",
    "Chrome of Android": f"Mozilla/5.0 (Linux; Android 10; K) {PHONE}",
    "Samsung Internet": f"Mozilla/5.0 (Linux; Android 10; K) {WEBKIT} SamsungBrowser/29.0 Chrome/136.0.0.0 Mobile Safari/537.36",
    "Firefox of Android": "Mozilla/5.0 (Android 15; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0",
    "Silk of a Kindle": f"Mozilla/5.0 (Linux; Android 11; KFTRWI) {WEBKIT} Silk/118.3.1 like Chrome/118.0.5993.155 Safari/537.36",
    "Yandex's browser": f"Mozilla/5.0 {WINDOWS} {WEBKIT} Chrome/142.0.0.0 YaBrowser/25.12.0.0 Safari/537.36",
    "Yandex's app": f"Mozilla/5.0 {IPHONE} Version/18.6 YaBrowser/25.12.0 YaApp_iOS/2512.00 Mobile/15E148 Safari/604.1",
    "DuckDuckGo": f"Mozilla/5.0 {MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15 Ddg/18.6",
    "Ecosia": f"Mozilla/5.0 (Linux; Android 10; K) {PHONE} (Ecosia android@143.0.0.0)",
    "Sogou's browser": f"Mozilla/5.0 {WINDOWS} {CHROME} SE 2.X MetaSr 1.0",
    "Sogou's browser of a telephone": f"Mozilla/5.0 (Linux; U; Android 12; zh-cn; V2148A Build/SP1A) {WEBVIEW} SogouMSE,SogouMobileBrowser/5.31",
    "Internet Explorer": "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko",
    "an old Internet Explorer with plugins": "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 6.1; chromeframe/32.0; QQDownload 691)",
    "Opera Mini": "Opera/9.80 (Android; Opera Mini/36.2.2254/119.132; U; id) Presto/2.12.423 Version/12.16",
    "a WebView": f"Mozilla/5.0 (Linux; Android 14; SM-S918B Build/UP1A.231005.007; wv) {WEBVIEW}",
    "Facebook's app": f"Mozilla/5.0 (Linux; Android 14; SM-S918B Build/UP1A.231005.007; wv) {WEBVIEW} [FB_IAB/FB4A;FBAV/443.0.0.23.229;]",
    "Facebook's app of 2026": f"Mozilla/5.0 (Linux; Android 16; Pixel 10 Build/CP1A.260305.018; wv) {WEBVIEW} MetaIAB Facebook",
    "Facebook's app of an iPhone": f"Mozilla/5.0 {IPHONE} Mobile/15E148 [FBAN/FBIOS;FBAV/443.0.0.31.110;FBBV/536664203;FBDV/iPhone15,2]",
    "Instagram's app": f"Mozilla/5.0 (Linux; Android 15; CPH2557 Build/AP3A.240617.008; wv) {WEBVIEW} Instagram 406.0.0.58.159 Android (35/15; 480dpi; 1080x2400; OPPO; CPH2557; OP573DL1; mt6833; en_MY; 822918295; IABMV/1)",
    "TikTok's app": f"Mozilla/5.0 (Linux; Android 13; M2101K6G Build/TKQ1.221013.002; wv) {WEBVIEW} musical_ly_2023 BytedanceWebview/d8a21c6",
    "Snapchat's app": f"Mozilla/5.0 {IPHONE} Version/18.6 Mobile/15E148 Snapchat/12.60.0.42 (like Safari/8615.3.12.11.2, panda)",
    "Pinterest's app": f"Mozilla/5.0 (Linux; Android 14; SM-A546B Build/UP1A.231005.007; wv) {WEBVIEW} [Pinterest/Android]",
    "LinkedIn's app": f"Mozilla/5.0 {IPHONE} Mobile/15E148 [LinkedInApp]/9.29.7463",
    "Twitter's app": f"Mozilla/5.0 (Linux; Android 13; CPH2451 Build/TP1A.220905.001; wv) {WEBVIEW} TwitterAndroid",
    "WeChat": f"Mozilla/5.0 (Linux; Android 12; LGE-AN10 Build/HONORLGE-AN10; wv) {WEBVIEW} XWEB/3211 MicroMessenger/8.0.21.2120(0x2800153B) Process/toolsmp WeChat/arm64 NetType/WIFI",
    "Line": f"Mozilla/5.0 {IPHONE} Safari Line/14.9.0",
    "KakaoTalk": f"Mozilla/5.0 (Linux; Android 14; SM-S918N Build/UP1A.231005.007; wv) {WEBVIEW};KAKAOTALK 2610830",
    "Naver": f"Mozilla/5.0 {IPHONE} Version/18.6 Mobile/15E148 Safari/605.1 NAVER(inapp; search; 1000; 12.6.3; 15PRO)",
    "Daum": f"Mozilla/5.0 (Linux; Android 14; SM-S918N Build/UP1A; wv) {WEBVIEW} DaumApps/8.6.0 DaumDevice/mobile",
    "Baidu's app": f"Mozilla/5.0 (Linux; Android 13; 22081212C Build/TKQ1; wv) {WEBVIEW} T7/13.48 SP-engine/2.86.0 baiduboxapp/13.48.0.10",
    "Viber": f"Mozilla/5.0 (Linux; Android 16; SM-F966N; BP2A.250605.031.A3; wv) {WEBVIEW} Viber",
    "WhatsApp": f"Mozilla/5.0 (Linux; Android 14; SM-S918B Build/UP1A.231005.007; wv) {WEBVIEW} WhatsApp/2.24.1",
    "Notion's app": f"Mozilla/5.0 {MAC} {WEBKIT} Notion/4.2.0 Chrome/130.0.0.0 Electron/33.0.0 Safari/537.36",
    "Google's app": f"Mozilla/5.0 {IPHONE} GSA/396.0.836793600 Mobile/15E148 Safari/604.1",
    "Google's app of a telephone": f"Mozilla/5.0 (Linux; Android 6.0.1; ONE A2003 Build/MMB29M) {PHONE} Google",
    "Slack's app": f"Mozilla/5.0 {MAC} {WEBKIT} Slack/4.46.99 Chrome/140.0.0.0 Electron/38.1.2 Safari/537.36",
    "an editor": f"Mozilla/5.0 {WINDOWS} {WEBKIT} Code/1.115.0 Chrome/142.0.7444.265 Electron/39.8.5 Safari/537.36",
    "a Cubot": f"Mozilla/5.0 (Linux; Android 9; CUBOT_X18_Plus) {PHONE}",
    "a Cubot by its build": f"Mozilla/5.0 (Linux; U; Android 4.2.2; it-it; S222 Build/CUBOT) {PHONE}",
    "an XBot": f"Mozilla/5.0 (Linux; Android 8.1.0; XBot_Senior Build/O11019) {PHONE}",
    "a Spider": f"Mozilla/5.0 (Linux; Android 13; Spider 8) {CHROME}",
    "a Discovery": f"Mozilla/5.0 (Linux; Android 4.4.2; GM Discovery II) {PHONE}",
    "a Radar of Windows Phone": "Mozilla/5.0 (compatible; MSIE 9.0; Windows Phone OS 7.5; Trident/5.0; IEMobile/9.0; HTC; Radar 4G)",
    "a Google Nexus": f"Mozilla/5.0 (Linux; U; Android 4.3; Google Nexus 4 Build/JLS36G) {PHONE}",
    "a ViewSonic": f"Mozilla/5.0 (Linux; Android 4.4.2; ViewSonic V500 Build/KVT49L) {PHONE}",
    "a Google TV": f"Mozilla/5.0 (Linux; Android 11; Grundig Google TV UHD Build/RTM6; wv) {WEBVIEW}",
    "a VIDAA television": f"Mozilla/5.0 (Linux armv7l) {CHROME} OPR/46.0 OMI/4.21.4.112.Catcher4.69 Model/Hisense-MT9602 VIDAA/5.0(Hisense;SmartTV;)",
    "an LG television": f"Mozilla/5.0 (Web0S; Linux/SmartTV) {CHROME} WebAppManager",
    "a PlayStation": "Mozilla/5.0 (PlayStation; PlayStation 5/9.00) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.0 Safari/605.1.15",
    "an app of an iPhone": "Reader/3.2.1 CFNetwork/1410.0.3 Darwin/22.6.0",
    "an app that names its library": "MyApp/1.0 (Android 14; Pixel 8) okhttp/4.12.0",
    "an app of Android": "Dalvik/2.1.0 (Linux; U; Android 13; SM-G991B Build/TP1A.220624.014)",
}  # fmt: skip

# Agent, reason, and the name and purpose of those that the list knows.
CRAWLERS = {
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)": ("Googlebot", "search"),
    f"Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) {PHONE} (compatible; Googlebot/2.1; +http://www.google.com/bot.html)": ("Googlebot", "search"),
    f"Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) {PHONE} (compatible; Google-InspectionTool/1.0;)": ("Google-InspectionTool", "search"),
    f"Mozilla/5.0 (Linux; Android 8.0; Pixel 2 Build/OPD3.170816.012; Storebot-Google/1.0) {PHONE}": ("Storebot-Google", "search"),
    f"Mozilla/5.0 {WEBKIT[:-1]}; compatible; GoogleOther) Chrome/141.0.0.0 Safari/537.36": ("GoogleOther", "search"),
    f"Mozilla/5.0 {WEBKIT}; compatible; GPTBot/1.2; +https://openai.com/gptbot": ("GPTBot", "ai-training"),
    f"Mozilla/5.0 {WEBKIT[:-1]}; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)": ("ClaudeBot", "ai-training"),
    f"Mozilla/5.0 {WEBKIT}; compatible; OAI-SearchBot/1.0; +https://openai.com/searchbot": ("OAI-SearchBot", "ai-search"),
    f"Mozilla/5.0 {WEBKIT[:-1]}; compatible; Claude-User/1.0; +Claude-User@anthropic.com)": ("Claude-User", "ai-user"),
    f"Mozilla/5.0 {WEBKIT}; compatible; ChatGPT-User/1.0; +https://openai.com/bot": ("ChatGPT-User", "ai-user"),
    "meta-externalfetcher/1.1": ("meta-externalfetcher", "ai-user"),
    "CCBot/2.0 (https://commoncrawl.org/faq/)": ("CCBot", "ai-training"),
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)": ("AhrefsBot", "seo"),
    f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} Chrome/138.0.0.0 Safari/537.36 DatadogSynthetics": ("DatadogSynthetics", "monitoring"),
    f"Mozilla/5.0 (X11; Linux x86_64) {CHROME} GTmetrix": ("GTmetrix", "monitoring"),
    f"Mozilla/5.0 {WINDOWS} {CHROME} PTST/240101.120000": ("PTST", "monitoring"),
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)": ("GoogleImageProxy", "preview"),
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)": ("facebookexternalhit", "preview"),
    "WhatsApp/2.23.20.0 A": ("WhatsApp", "preview"),
    "archive.org_bot": ("archive.org_bot", "archive"),
    "Feedly/1.0 (+http://www.feedly.com/fetcher.html; like FeedFetcher-Google)": ("Feedly", "feed"),
    # Not on the list: found by the words and the form that they use.
    "Mozilla/5.0 (compatible; Gleaner/3.1)": ("", ""),
    f"Mozilla/5.0 (Linux; Android 10; K) {PHONE} (compatible; Gleaner)": ("", ""),
    "GleanerBot/3.1 (+https://gleaner.example/about)": ("", ""),
    "ExampleSpider/0.1": ("", ""),
    f"Mozilla/5.0 {WINDOWS} {CHROME} example-monitor": ("", ""),
}  # fmt: skip
HEADLESS = [
    f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} HeadlessChrome/143.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 (KHTML, like Gecko) PhantomJS/2.1.1 Safari/538.1",
    f"Mozilla/5.0 {WINDOWS} {CHROME} Playwright/1.55.0",
    "Mozilla/5.0 (linux) AppleWebKit/537.36 (KHTML, like Gecko) jsdom/26.1.0",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/534.34 (KHTML, like Gecko) wkhtmltopdf Safari/534.34",
]
LIBRARIES = [
    "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.22621.3958",
    "Mozilla/5.0 (Linux; Debian GNU/Linux 12; en-US) PowerShell/7.4.5",
    "curl/8.5.0", "python-requests/2.32.3", "Python/3.11 aiohttp/3.8.4", "Go-http-client/2.0", "okhttp/4.12.0", "axios/1.7.2",
    "Wget/1.21", "Java/17.0.2", "Apache-HttpClient/4.5.13 (Java/11.0.2)", "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)",
    "got (https://github.com/sindresorhus/got)", "GuzzleHttp/7", "libwww-perl/6.05", "rest-client/2.1.0 (linux x86_64) ruby/3.0.0p0",
    "Symfony HttpClient/Curl", "http-kit/2.0", "Typhoeus - https://github.com/typhoeus/typhoeus", "MyShop/1.0 okhttp/4.9.3",
    "WordPress/6.4.2; https://shop.example", "Stripe/1.0 (+https://stripe.com/docs/webhooks)", "WooCommerce/8.4 Hookshot (WordPress/6.4)",
    "Zapier", "Dart/3.1 (dart:io)", "ReactorNetty/1.1.0", "Deno/1.40.0",
]  # fmt: skip


@pytest.fixture(scope="module")
def bots() -> Bots:
    return Bots()


@pytest.mark.parametrize("user_agent", PEOPLE.values(), ids=PEOPLE)
def test_a_person_has_no_reason(bots: Bots, user_agent: str) -> None:
    """Browsers, telephones of any name, WebViews, in-app browsers, televisions and apps of telephones are people."""
    assert bots.of(user_agent) == PERSON


@pytest.mark.parametrize(("user_agent", "known"), CRAWLERS.items())
def test_a_crawler_is_named_with_its_purpose(bots: Bots, user_agent: str, known: tuple[str, str]) -> None:
    """Gives the crawlers of the list their name and their purpose; others that introduce themselves as crawlers have neither."""
    verdict = bots.of(user_agent)
    assert verdict.reasons & BotReason.CRAWLER
    assert verdict[1:] == known


@pytest.mark.parametrize("user_agent", HEADLESS)
def test_a_browser_without_a_window_is_headless(bots: Bots, user_agent: str) -> None:
    """What drives a browser for a program says so in the agent."""
    assert bots.of(user_agent).reasons & BotReason.HEADLESS


@pytest.mark.parametrize("user_agent", LIBRARIES)
def test_a_library_is_nothing_else(bots: Bots, user_agent: str) -> None:
    """A server may report a purchase with it, and the step `agent` then clears these two bits: no other may be set."""
    assert bots.of(user_agent).reasons in {BotReason.LIBRARY, BotReason.LIBRARY | BotReason.NOT_A_BROWSER}


def test_a_crawler_on_a_library_is_a_crawler_too(bots: Bots) -> None:
    """The library does not hide what the program calls itself."""
    verdict = bots.of("python-requests/2.32.3 ExampleBot/1.0")
    assert verdict.reasons & BotReason.CRAWLER
    assert verdict.reasons & BotReason.LIBRARY


@pytest.mark.parametrize(
    "user_agent",
    ["MyShop/1.0", "MyShop/1.0 (+https://myshop.example)", "Backend v2.7.4", "mozilla", "1", "-", "Mozilla/5.0"],
)
def test_another_form_than_a_browser_has_is_its_own_reason(bots: Bots, user_agent: str) -> None:
    """Is not called a crawler's, because such an agent names nobody. Its weight says how much it counts."""
    assert bots.of(user_agent) == (BotReason.NOT_A_BROWSER, "", "")


@pytest.mark.parametrize("user_agent", ["", "  ", "\t\r\n"])
def test_no_user_agent_is_a_reason(bots: Bots, user_agent: str) -> None:
    """Takes an agent of blanks alone for a missing one."""
    assert bots.of(user_agent) == NO_USER_AGENT


def test_a_stranger_invents_no_name(bots: Bots) -> None:
    """The column `bot_name` holds names of the list alone, however many a stranger sends."""
    assert {bots.of(f"Mozilla/5.0 (compatible; Invented{at}Bot/1.0)").name for at in range(100)} == {""}


def test_every_pattern_of_the_packages_is_used() -> None:
    """RE2 takes each of them, and `re` what has look-around: none is left out without a word."""
    for pattern in patterns():
        re2.compile(pattern.regex)
    assert len(list(patterns())) > 1_600


def test_what_is_left_out_is_on_the_lists() -> None:
    """A pattern that its list gave up, or wrote anew, is to be looked at again: an entry here would have no effect."""
    listed = {
        *bot_patterns.words(),
        *(one.pattern for one in bot_patterns.listed()),
    }  # fmt: skip
    ours = {
        *DROPPED,
        *bot_patterns.REWRITTEN,
        *bot_patterns.FORMS,
        *bot_patterns.WORDS,
        *bot_patterns.APPS,
        *bot_patterns.ADDRESSES,
        *bot_patterns.PLATFORMS,
        *bot_patterns.LIBRARIES,
        *bot_patterns.AUTOMATED,
    }
    assert ours - listed == set()


def test_every_crawler_has_a_purpose() -> None:
    """A tag that is new on the list asks for a word of ours."""
    assert {tag for one in bot_patterns.listed() for tag in one.tags} - {"ai-crawler"} == set(PURPOSES)
    assert all(pattern.crawler.purpose for pattern in patterns() if pattern.crawler)


@pytest.mark.parametrize(
    ("regex", "without", "whole"),
    [
        (r"crawl\b", r"crawl\b", r"crawl\b"),
        (r"java(?!;)", "java", r"java(?!;)"),
        (r"(?<! a/|bc)go(?!(?:wv| x))$", "go$", r"(?<! a/)(?<!bc)go(?!(?:wv| x))$"),
        (r"(?:^|[^g])news(?!s\)x)", "(?:^|[^g])news", r"(?:^|[^g])news(?!s\)x)"),
    ],
)
def test_a_pattern_is_split_from_its_look_around(regex: str, without: str, whole: str) -> None:
    """RE2 takes the first, and it finds all that the whole finds."""
    assert split(regex) == (without, whole)
    re2.compile(without)
    re.compile(whole)


@given(st.text(max_size=300))
@example("\ud800")
@example("\x00")
def test_any_text_has_a_verdict(bots: Bots, user_agent: str) -> None:
    """Nothing is raised."""
    assert bots.of(user_agent).reasons >= 0


HOSTILE = {
    "dots": "." * 1_024, "digits": "1" * 1_024, "blanks": "a" + " " * 1_022 + "b", "control characters": "\x01\x02" * 512,
    "parentheses": "(" * 1_024, "comments": "(Android)" * 113, "open comments": "(Android " * 113, "nested": "(Android (((" * 85,
    "half comments": "(Linux; Android (a)(" * 51, "semicolons": "(" + "; " * 511, "words": "bot google news java http " * 39,
    "compatible": "compatible; " * 85, "versions": "1." * 512, "slashes": "a/1 " * 256, "not ASCII": "ä" * 1_024,
    "names": "Googlebot/2.1 " * 73,
}  # fmt: skip


@pytest.mark.parametrize("user_agent", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_agent_is_judged(bots: Bots, user_agent: str) -> None:
    """A verdict comes though the agent is 64 times as long as ingest lets it be. A pattern that goes back and forth would not end."""
    assert bots.of(user_agent * 64).reasons >= 0


def test_a_flood_of_new_agents_hides_none() -> None:
    """RE2 forgets what it learnt when its memory is full, and finds as before."""
    bots, chance = Bots(), random.Random(1)
    letters = string.ascii_letters + string.digits + " /;().-_"
    for _ in range(2_000):
        bots.of("".join(chance.choices(letters, k=1_000)))
    assert [bots.of(user_agent).name for user_agent in CRAWLERS] == [name for name, _ in CRAWLERS.values()]
