"""Reads browser, system, device and a bot verdict out of a User-Agent and the client hints beside it.

ua-parser finds families and versions; software.py gives them the names that people use, device.py says of what class the
device is, and hints.py reads the client hints. The verdict is bots.py's, with two reasons of the head beside it:
`headless` where the hints name a browser without a window, and `headers` where a browser sends no Accept-Language, or
hints that its User-Agent contradicts. All of it is found once for each head, and remembered.

Not promised: that a User-Agent is true. A program that pretends to be a browser in everything is taken for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from ua_parser import Domain, Resolver
from ua_parser.loaders import load_lazy_builtins
from ua_parser.regex import Resolver as RegexResolver

from ingest.agents.bots import Bots
from ingest.agents.device import device_of
from ingest.agents.hints import hints_of, is_contradicted, raw_hints
from ingest.agents.software import browser_of, system_of
from schemas.bots import THRESHOLD, BotReason, word

CACHED = 10_000  # heads' agents: 12 MB at most; a miss costs 20 to 60 us, a hit 0.1
CHARS_MAX = 1_024  # the longest honest ones are 400


class Agent(NamedTuple):
    """Holds what a head says of the software that sent it, under the names of the table's columns; "" where not known.

    `bot` is the word of the verdict by the threshold, "" for people, and `bot_reasons` are all that speak for a program.
    """

    browser: str
    browser_version: str
    os: str
    os_version: str
    device: str
    bot: str
    bot_reasons: int
    bot_name: str
    bot_purpose: str


class Agents:
    """Reads agents with ua-parser's compiled matcher, and remembers what it read."""

    def __init__(self, threshold: int = THRESHOLD, cached: int = CACHED) -> None:
        """Takes the score from which an agent is a bot's."""
        self._threshold = threshold
        # Built now, before there are requests, because it takes 0.07 s. By default the first request would wait for it. Nobody
        # asks ua-parser for devices (device.py), and their patterns would take half as much time again, and memory. Lazy
        # are the same patterns before Python compiles them, which takes 0.13 s, and the matcher compiles its own.
        browsers, systems, _ = load_lazy_builtins()
        self._resolve: Resolver = RegexResolver((browsers, systems, []))
        self._bots = Bots()
        self.known = lru_cache(cached)(self._read)

    def of(self, fields: Mapping[bytes, bytes]) -> Agent:
        """Returns what the fields of a head, by their names in lower case, say of its sender."""
        user_agent = fields.get(b"user-agent", b"")[:CHARS_MAX]
        return self.known(user_agent, raw_hints(fields), b"accept-language" in fields)

    def _read(self, user_agent: bytes, raw: tuple[bytes, ...], has_language: bool) -> Agent:
        text = user_agent.decode("latin-1").strip()
        lower, hints = text.lower(), hints_of(raw)
        verdict = self._bots.of(text)
        reasons = verdict.reasons
        if hints.is_headless:
            reasons |= BotReason.HEADLESS
        if text.startswith("Mozilla/") and (not has_language or is_contradicted(lower, hints)):
            reasons |= BotReason.HEADERS
        judged = (word(reasons, self._threshold), int(reasons), verdict.name, verdict.purpose)
        if not text:
            return Agent("", "", hints.os, hints.os_version, "", *judged)
        found = self._resolve(text, Domain.USER_AGENT | Domain.OS)
        browser, browser_version = browser_of(found.user_agent, lower, hints)
        system, system_version = system_of(found.os, lower, hints)
        device = device_of(text, lower, system, hints)
        return Agent(browser, browser_version, system, system_version, device, *judged)
