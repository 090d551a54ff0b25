"""Browser, system, device and bot verdict of a User-Agent.

Verdicts, first that fits: `no_user_agent` when there is none; `headless` for automated
browsers; `crawler` for what names itself a bot, crawler or spider; `library` for HTTP clients
of programs. Rows are stored with their verdict and the views leave them out, so a verdict can
be reversed by a query. Somebody who pretends to be a browser gets past all of them.

Devices: `mobile`, `tablet`, `desktop`, or "" for televisions, consoles and the unknown. An iPad
that asks for desktop pages calls itself a Mac, and is one here.

Not promised: versions. Families alone are kept.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from ua_parser import Domain, Resolver
from ua_parser.loaders import load_builtins
from ua_parser.regex import Resolver as RegexResolver

CACHED = 10_000  # user agents: 12 MB at most; a miss costs 70 to 300 us, a hit 0.1
CHARS_MAX = 1_024  # the longest honest ones are 400

_headless = re.compile(
    r"headless|phantomjs|electron/.*cypress|puppeteer|playwright|selenium|jsdom/", re.IGNORECASE
).search
# "bot" ends a word (Googlebot/2.1, bingbot;), or begins one; Cubot is a maker of phones.
_crawler = re.compile(
    r"(?<!cu)bot(?:\b|[-_/])|\bbot|crawl|spider|slurp|facebookexternalhit|mediapartners|lighthouse|pingdom"
    r"|uptime|monitoring|ia_archiver|archive\.org|preview|feedfetcher|validator|scanner|\+https?://",
    re.IGNORECASE,
).search
_library = re.compile(
    r"^(?:curl|wget|python|go-http-client|java/|okhttp|axios|node|got |ruby|perl|libwww|php|guzzle|apache-httpclient"
    r"|http(?:ie|x|client|py)|aiohttp|rust|reqwest|dart|postman|insomnia|undici|wrk|hey/|ab/|k6/|vegeta)",
    re.IGNORECASE,
).search
_tablet = re.compile(r"iPad|Tablet|PlayBook|Silk/|Kindle", re.IGNORECASE).search
_mobile = re.compile(r"Mobi|iPhone|iPod|Phone|Opera Mini", re.IGNORECASE).search
_television = re.compile(
    r"\bTV\b|SmartTV|SMART-TV|AppleTV|BRAVIA|\bCrKey\b|PlayStation|Xbox|Nintendo|AFT[A-Z]", re.IGNORECASE
).search
DESKTOPS = frozenset(("Windows", "Mac OS X", "Linux", "Ubuntu", "Debian", "Fedora", "Chrome OS", "FreeBSD", "OpenBSD"))


class Agent(NamedTuple):
    """Families as ua-parser names them; "" for unknown. `bot` is the verdict, "" for people."""

    browser: str
    os: str
    device: str
    bot: str


NO_AGENT = Agent("", "", "", "no_user_agent")


class Agents:
    """Reads user agents with ua-parser's compiled matcher, and remembers what it read."""

    def __init__(self, cached: int = CACHED) -> None:
        # Eagerly, before there are requests: 0.3 s and 30 MB. The default would do it in the first one.
        self._resolve: Resolver = RegexResolver(load_builtins())
        self.of = lru_cache(cached)(self._of)

    def _of(self, user_agent: bytes) -> Agent:
        text = user_agent[:CHARS_MAX].decode("latin-1").strip()
        if not text:
            return NO_AGENT
        found = self._resolve(text, Domain.USER_AGENT | Domain.OS)
        browser = found.user_agent.family if found.user_agent else ""
        system = found.os.family if found.os else ""
        return Agent(browser, system, _device(text, system), _verdict(text))


def _verdict(text: str) -> str:
    if _headless(text):
        return "headless"
    if _crawler(text):
        return "crawler"
    return "library" if _library(text) else ""


def _device(text: str, system: str) -> str:
    if _television(text):
        return ""
    if _tablet(text) or ("Android" in text and "Mobi" not in text):
        return "tablet"
    if _mobile(text):
        return "mobile"
    return "desktop" if system in DESKTOPS else ""
