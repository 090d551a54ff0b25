"""Finds programs by the User-Agent that they send: why an agent looks like one, its name, and what it is for.

An *agent* is here the text of a User-Agent. One set of RE2 holds all patterns of ingest/agents/bot_patterns.py and is asked
once for an agent; its time grows with the agent's length alone. Three rules make a verdict of the patterns that it finds:

- The model of a telephone is not read, because makers give telephones any name (Cubot, Discovery, Radar). Crawlers put
  their names elsewhere.
- Words that apps and devices have in their names count only in an agent that names no device of a person, or that
  introduces itself as a crawler does ("compatible; ...").
- An agent with an HTTP library or a platform like WordPress is LIBRARY, perhaps with NOT_A_BROWSER, whatever other words and
  addresses are in its name. If it also names a crawler, it is CRAWLER too. An agent whose only sign is an address where to
  read about it is NOT_A_BROWSER, because the server of a shop has one as well.

Only names of the list become `name`, so a stranger can't fill that column with new ones.

Not promised: that a program is found out. One that sends a browser's agent is a person here.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import re2

from ingest.agents.bot_patterns import Crawler, Pattern, patterns
from schemas.bots import BotReason

# RE2 keeps what it learnt of agents, and forgets all of it when this is full. The patterns take 4 MB of it. A flood of random
# agents fills it; half as much was as fast (8 MiB: 79 us for a random agent, 4 us for a person's; 64 MiB: 59 and 4), and the
# rest is for lists that grow, because a set without room for its states finds nothing.
SET_BYTES_MAX = 16 << 20
NAME_CHARS_MAX = 40

# What people hold, drive, wear or watch, and what is only on such a thing.
_is_of_a_person = re2.compile(
    r"(?i)android|i(?:phone|pad|pod)|\biph\d|\bi(?:pad)?os\b|apple ?tv|watch(?:os|\d)|darwin/|tizen|web0s|webos|smart-?tv|vidaa|hbbtv"
    r"|roku|google ?tv|crkey|silk/|playstation|nintendo|xbox|windows phone|kaios|symbian|blackberry|electron/|midp|\bwap|brew|maui|garmin"
).search
_introduces_itself = re2.compile(r"(?i)compatible; ?(?:[^ m]|m[^s])|like gecko; |https?://").search  # not MSIE
# A telephone's comment: what names the system, and then the model up to its end.
_telephone = re.compile(r"(\((?:[^()]*; ?)?Android\b)((?:[^()]|\([^()]*\))*)(?=\))")
_is_said = re.compile(r"compatible|https?:|(?:bot|spider|crawler)/", re.IGNORECASE).search


class Verdict(NamedTuple):
    """Holds the bits of `schemas.bots.BotReason` that an agent gives; and a known crawler's name and purpose, else ""."""

    reasons: int
    name: str
    purpose: str


PERSON = Verdict(0, "", "")
NO_USER_AGENT = Verdict(int(BotReason.NO_USER_AGENT), "", "")


class Bots:
    """Judges agents. It remembers none of them, but RE2's memory grows to `SET_BYTES_MAX`.

    It is built before there are requests, because that takes 30 ms. Raises ImportError if a list is not installed, and
    ValueError if it has a pattern that RE2 does not take.
    """

    def __init__(self) -> None:
        self._patterns: list[Pattern] = []
        self._names: dict[str, str] = {}
        options = re2.Options()
        options.max_mem = SET_BYTES_MAX
        options.log_errors = False
        self._set = re2.Set.SearchSet(options)
        for pattern in patterns():
            try:
                self._set.Add(pattern.regex)
            except re2.error as error:
                raise ValueError(f"A list of crawlers has a pattern that RE2 does not take: {pattern.regex}") from error
            self._patterns.append(pattern)
        self._set.Compile()

    def of(self, user_agent: str) -> Verdict:
        """Returns the verdict on a User-Agent."""
        text = user_agent.strip()
        if not text:
            return NO_USER_AGENT
        if "Android" in text:
            text = _telephone.sub(_without_model, text)
        text = text.encode("utf-8", "replace").decode()  # RE2 takes no half of a surrogate pair
        found = self._set.Match(text)
        return self._judge(text, found) if found else PERSON

    def _judge(self, text: str, found: list[int]) -> Verdict:
        named = self._counting(text, found)
        # A program that only says where to read about it is a crawler or a shop's server. Browsers say no address.
        is_only_addressed = not text.startswith("Mozilla/") and all(
            pattern.is_address for pattern in named if pattern.reason is BotReason.CRAWLER
        )
        reasons = 0
        for pattern in named:
            reasons |= BotReason.NOT_A_BROWSER if is_only_addressed and pattern.is_address else pattern.reason
        crawlers = [pattern.crawler for pattern in named if pattern.crawler]
        if not crawlers:
            return Verdict(int(reasons), "", "")
        # The longest pattern says most: Googlebot-Image rather than Googlebot.
        known = max(crawlers, key=lambda crawler: (crawler.purpose != "library", len(crawler.pattern)))
        return Verdict(int(reasons), self._name(known), known.purpose)

    def _counting(self, text: str, found: list[int]) -> list[Pattern]:
        """Returns those of the patterns that RE2 found which are evidence in this agent."""
        named = [
            pattern
            for pattern in map(self._patterns.__getitem__, found)
            if pattern.confirm is None or pattern.confirm(text)
        ]
        if any(pattern.is_word for pattern in named) and _is_of_a_person(text) and not _introduces_itself(text):
            named = [pattern for pattern in named if not pattern.is_word]
        if any(pattern.reason is BotReason.LIBRARY for pattern in named):
            named = [pattern for pattern in named if pattern.reason is not BotReason.CRAWLER or not pattern.is_word]
        return named

    def _name(self, crawler: Crawler) -> str:
        name = self._names.get(crawler.pattern)
        if name is None:
            self._names[crawler.pattern] = name = _name(crawler)
        return name


def _name(crawler: Crawler) -> str:
    """Returns a crawler's name as its pattern writes it; or, where that is not plain text, as its example does."""
    name = re.sub(r"\[\w(\w)\]", lambda either: either[1].upper(), crawler.pattern.strip("^$"))
    if re.search(r"(?<!\\)[\[\](){}|?*+.^$]|\\\w", name):
        found = re2.search(crawler.pattern, crawler.example)
        name = found[0] if found else ""
    name = re.sub(r"\\(.)", r"\1", name)
    return re.split(r"/(?=v?\d|$)|[;(]", name.strip(" /;,)+-_."))[0].strip(" /,)+-_.:")[:NAME_CHARS_MAX]


def _without_model(telephone: re.Match[str]) -> str:
    """Returns a telephone's comment up to its system, and what follows the build, where crawlers put their names."""
    system, model = telephone.groups()
    if _is_said(model):
        return telephone[0]
    _, build, after = model.partition("Build/")
    _, semicolon, said = after.partition(";") if build else ("", "", "")
    return system + semicolon + said
