"""Reads browser, system, device and a bot verdict out of a User-Agent.

The verdict is the first of these that fits: `no_user_agent` when there is none; `headless` for
automated browsers; `crawler` for clients that call themselves a bot, crawler or spider; `library`
for the HTTP clients of programs. Rows are stored with their verdict, and the views leave them out,
so a query can reverse a verdict. A program that pretends to be a browser gets past all of them.

Devices are `mobile`, `tablet`, `desktop`, or "" for televisions, consoles and unknown ones. An iPad
that asks for desktop pages calls itself a Mac, and counts as one here.

Not promised: versions. Only families are kept.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from ua_parser import Domain, Resolver
from ua_parser.loaders import load_builtins
from ua_parser.regex import Resolver as RegexResolver

CACHED = 10_000  # user agents: 12 MB at most; a miss costs 20 to 60 us, a hit 0.1
CHARS_MAX = 1_024  # the longest honest ones are 400

LIBRARY = "library"  # the verdict of HTTP clients of programs
# These are looked for in lower case, one after the other: `in` looks for 25 tokens in 2 us, one pattern of them took 40.
HEADLESS = ("headless", "phantomjs", "puppeteer", "playwright", "selenium", "cypress/", "jsdom/")
CRAWLERS = (
    "crawl", "spider", "slurp", "facebookexternalhit", "mediapartners", "lighthouse", "pingdom", "uptime", "monitoring",
    "ia_archiver", "archive.org", "preview", "feedfetcher", "validator", "scanner", "+http:", "+https:",
)  # fmt: skip
LIBRARIES = (
    "curl", "wget", "python", "go-http-client", "java/", "okhttp", "axios", "node", "got ", "ruby", "perl", "libwww",
    "php", "guzzle", "apache-httpclient", "httpie", "httpx", "httpclient", "http.rb", "aiohttp", "rust", "reqwest", "dart",
    "postman", "insomnia", "undici", "wrk", "hey/", "ab/", "k6/", "vegeta",
)  # fmt: skip
TABLETS = ("ipad", "tablet", "playbook", "silk/", "kindle")
MOBILES = ("mobi", "phone", "ipod", "opera mini")
TELEVISIONS = ("smarttv", "smart-tv", "appletv", "googletv", "bravia", "crkey", "playstation", "xbox", "nintendo")
# "bot" ends a word (Googlebot/2.1, bingbot;), or begins one; Cubot is a maker of phones.
_bot = re.compile(r"(?<!cu)bot(?:\b|[-_/])|\bbot").search
_television = re.compile(r"\bTV\b|\bAFT[A-Z]").search  # AFT: Amazon's Fire TV models
DESKTOPS = frozenset(("Windows", "Mac OS X", "Linux", "Ubuntu", "Debian", "Fedora", "Chrome OS", "FreeBSD", "OpenBSD"))


class Agent(NamedTuple):
    """Holds families as ua-parser names them, "" if unknown. `bot` is the verdict, "" for people."""

    browser: str
    os: str
    device: str
    bot: str


NO_AGENT = Agent("", "", "", "no_user_agent")


class Agents:
    """Reads user agents with ua-parser's compiled matcher, and remembers what it read."""

    def __init__(self, cached: int = CACHED) -> None:
        # Built now, before there are requests, because it takes 0.3 s and 30 MB. By default the first request would wait for it.
        self._resolve: Resolver = RegexResolver(load_builtins())
        self.of = lru_cache(cached)(self._of)

    def _of(self, user_agent: bytes) -> Agent:
        text = user_agent[:CHARS_MAX].decode("latin-1").strip()
        if not text:
            return NO_AGENT
        found = self._resolve(text, Domain.USER_AGENT | Domain.OS)
        browser = found.user_agent.family if found.user_agent else ""
        system = found.os.family if found.os else ""
        lower = text.lower()
        device = "" if _television(text) else _device(lower, system)
        return Agent(browser, system, device, _verdict(lower))


def _verdict(text: str) -> str:
    if _holds(text, HEADLESS):
        return "headless"
    if _holds(text, CRAWLERS) or ("bot" in text and _bot(text)):
        return "crawler"
    return LIBRARY if text.startswith(LIBRARIES) else ""


def _device(text: str, system: str) -> str:
    if _holds(text, TELEVISIONS):
        return ""
    if _holds(text, TABLETS) or ("android" in text and "mobi" not in text):
        return "tablet"
    if _holds(text, MOBILES):
        return "mobile"
    return "desktop" if system in DESKTOPS else ""


def _holds(text: str, tokens: tuple[str, ...]) -> bool:
    return any(token in text for token in tokens)
