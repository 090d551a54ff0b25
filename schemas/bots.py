"""Declares why an event can look automated: each reason once, with its bit in `bot_reasons` and its weight.

Ingest collects reasons; their weights are added up to a score, and from `bot_threshold` on the event counts as a bot's:
`bot` then names the strongest reason. Below it `bot` is empty, and the reasons are kept all the same, so a query can be
stricter or milder than ingest was (`bot_score` in ClickHouse is the same sum). A bit never changes its meaning, because
rows hold it; a weight may change with a migration.

Not promised: that a program is found out. One that pretends to be a browser in everything is counted as a person.
"""

from __future__ import annotations

from enum import IntFlag
from typing import NamedTuple

THRESHOLD = 50  # the default of `bot_threshold`
WITHOUT_REASONS = 100  # what a verdict of release 0.1.0 counts, which kept no reasons


class BotReason(IntFlag):
    """Names the bits of `bot_reasons`. Where two weigh the same, the lower bit gives `bot` its word."""

    NO_USER_AGENT = 1 << 0
    HEADLESS = 1 << 1
    CRAWLER = 1 << 2
    LIBRARY = 1 << 3
    NOT_A_BROWSER = 1 << 4
    AUTOMATION = 1 << 5
    REFERRER_SPAM = 1 << 6
    RATE = 1 << 7
    HEADERS = 1 << 8
    WINDOW = 1 << 9


class Weighed(NamedTuple):
    """Holds a reason's word in the column `bot`, its weight, and what it means to a reader."""

    word: str
    weight: int
    meaning: str


REASONS: dict[BotReason, Weighed] = {
    BotReason.NO_USER_AGENT: Weighed("no_user_agent", 100, "It sent no User-Agent"),
    BotReason.HEADLESS: Weighed("headless", 100, "Its User-Agent or client hints name a browser without a window"),
    BotReason.CRAWLER: Weighed("crawler", 100, "Its User-Agent is on a list of crawlers"),
    BotReason.LIBRARY: Weighed("library", 100, "Its User-Agent is that of a program's HTTP client"),
    BotReason.NOT_A_BROWSER: Weighed("not_a_browser", 60, "Its User-Agent has not the form that browsers send"),
    BotReason.AUTOMATION: Weighed("automation", 100, "The page saw that a program drives the browser"),
    BotReason.REFERRER_SPAM: Weighed("referrer_spam", 100, "Its referrer is on the list of referrer spam"),
    BotReason.RATE: Weighed("rate", 50, "Its visitor looked at more pages in a minute than a person can"),
    BotReason.HEADERS: Weighed("headers", 30, "Its headers are not those of the browser that it names"),
    BotReason.WINDOW: Weighed("window", 30, "The page saw a window of a size that no person has"),
}


def score(reasons: int) -> int:
    """Returns the sum of the weights of these bits. Bits that this release does not know weigh nothing."""
    return sum(weighed.weight for reason, weighed in REASONS.items() if reasons & reason)


def word(reasons: int, threshold: int) -> str:
    """Returns what the column `bot` says of these bits: the word of the strongest, or "" below the threshold."""
    if not reasons or score(reasons) < threshold:
        return ""
    return max((weighed for reason, weighed in REASONS.items() if reasons & reason), key=lambda one: one.weight).word


def reasons_sql() -> str:
    """Returns an expression of ClickHouse for a row's reasons. A verdict of release 0.1.0, without any, is its own reason."""
    words = [weighed.word for weighed in REASONS.values()]
    bits = [int(reason) for reason in REASONS]
    return f"if(bot_reasons = 0 AND bot != '', transform(toString(bot), {words}, {bits}, toUInt32(0)), bot_reasons)"


def score_sql() -> str:
    """Returns an expression of ClickHouse that is `bot_score`, for mutations, which know no alias."""
    weights = [
        f"{weighed.weight} * bitTest(bot_reasons, {reason.bit_length() - 1})" for reason, weighed in REASONS.items()
    ]
    return f"if(bot_reasons = 0 AND bot != '', {WITHOUT_REASONS}, {' + '.join(weights)})"


def word_sql(threshold: int) -> str:
    """Returns an expression of ClickHouse that does what `word` does, with a row."""
    strongest_first = sorted(REASONS.items(), key=lambda item: -item[1].weight)
    words = [
        f"bitTest(bot_reasons, {reason.bit_length() - 1}), '{weighed.word}'" for reason, weighed in strongest_first
    ]
    # A verdict without reasons stays one as long as what it counts is enough.
    return f"multiIf({score_sql()} < {threshold:d}, '', bot_reasons = 0, toString(bot), {', '.join(words)}, '')"
