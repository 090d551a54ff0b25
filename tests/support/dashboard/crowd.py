"""Makes visits of made-up sites by a seed: people who arrive, look at pages, buy, come again; and programs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, timedelta
from typing import TypeVar

from tests.support.dashboard.hand import HAND
from tests.support.dashboard.seed import Agent, Hit, Site, Visit, days, moment

Thing = TypeVar("Thing")

AGENTS = (
    (Agent(country="US", region="US-CA", city="San Francisco"), 20),
    (Agent(country="US", region="US-NY", city="New York", os="macOS", os_version="15", screen_w=1512), 12),
    (Agent("Safari", "18", "iOS", "18", "mobile", 390, "en-US", "US", "US-TX", "Austin"), 16),
    (Agent("Safari", "18", "macOS", "15", "desktop", 1440, "en-GB", "GB", "GB-ENG", "London"), 9),
    (Agent(language="de-DE", country="DE", region="DE-BE", city="Berlin"), 10),
    (Agent("Firefox", "143", "Linux", "", "desktop", 1920, "de-DE", "DE", "DE-BY", "Munich"), 5),
    (Agent("Chrome", "140", "Android", "15", "mobile", 412, "hi-IN", "IN", "IN-KA", "Bengaluru"), 9),
    (Agent("Edge", "140", "Windows", "11", "desktop", 1366, "fr-FR", "FR", "FR-IDF", "Paris"), 6),
    (Agent("Chrome", "139", "Android", "14", "mobile", 393, "pt-BR", "BR", "BR-SP", "São Paulo"), 5),
    (Agent("Safari", "18", "iPadOS", "18", "tablet", 820, "ja-JP", "JP", "JP-13", "Tokyo"), 4),
    (Agent("Samsung Internet", "28", "Android", "15", "mobile", 384, "es-ES", "ES", "ES-MD", "Madrid"), 2),
    (Agent("Firefox", "143", "Windows", "10", "desktop", 1280, "nl-NL", "NL"), 2),
)
# Referrer and query of a visit's first page.
ARRIVALS = (
    (("", ""), 30),
    (("https://www.google.com/", ""), 24),
    (("https://www.bing.com/", ""), 3),
    (("https://duckduckgo.com/", ""), 4),
    (("https://t.co/qX8", ""), 5),
    (("https://www.linkedin.com/", ""), 4),
    (("https://news.ycombinator.com/", ""), 7),
    (("https://github.com/forebay/forebay", ""), 5),
    (("https://chatgpt.com/", ""), 4),
    (("https://www.perplexity.ai/", ""), 2),
    (("", "utm_source=newsletter&utm_medium=email&utm_campaign=spring"), 6),
    (("https://www.google.com/", "utm_source=google&utm_medium=cpc&utm_campaign=brand&gclid=x"), 4),
    (("https://www.facebook.com/", "utm_source=facebook&utm_medium=paid_social&utm_campaign=launch"), 2),
)
PAGES = (
    ("/", 26), ("/pricing", 12), ("/docs", 9), ("/docs/install", 7), ("/blog", 6), ("/blog/exactly-once", 11),
    ("/blog/why-not-cookies", 6), ("/features", 8), ("/changelog", 3), ("/about", 2), ("/contact", 2), ("/cart", 4),
)  # fmt: skip
# How many of a hundred visits begin in each local hour.
HOURS = (2, 1, 1, 1, 1, 2, 3, 4, 6, 7, 7, 6, 5, 6, 7, 7, 6, 5, 5, 5, 5, 4, 3, 2)
CURRENCIES = ("EUR", "USD", "GBP")
# Each with its bit, name and purpose; the last two are found by how they behave, and have no name.
PROGRAMS = (
    (("crawler", 4, "GPTBot", "ai-training"), 30),
    (("crawler", 4, "ClaudeBot", "ai-training"), 18),
    (("crawler", 4, "OAI-SearchBot", "ai-search"), 8),
    (("crawler", 4, "ChatGPT-User", "ai-user"), 6),
    (("crawler", 4, "Googlebot", "search"), 20),
    (("crawler", 4, "AhrefsBot", "seo"), 10),
    (("headless", 2 + 32, "", ""), 6),
    (("rate", 128, "", ""), 2),
)


def shop(until: date, *, weeks: int = 8, visits_a_day: int = 24, seed: int = 14) -> Site:
    """Returns a shop in Berlin with goals, money in three currencies, campaigns, and people who come again each week."""
    return _site("shop.example", "Europe/Berlin", until - timedelta(days=7 * weeks - 1), until, visits_a_day, seed)


def world(until: date = date(2026, 3, 31)) -> list[Site]:
    """Returns all sites. The last day of the shop is `until`; the others have their own dates, around changes of clocks."""
    return [
        HAND,
        shop(until),
        _site("la.example", "America/Los_Angeles", date(2025, 10, 30), date(2025, 11, 4), 20, 15),
        _site("la.example", "America/Los_Angeles", date(2026, 3, 6), date(2026, 3, 10), 20, 16),
        _site("auckland.example", "Pacific/Auckland", date(2026, 4, 3), date(2026, 4, 6), 20, 17),
        _site("neighbour.example", "Asia/Kathmandu", date(2026, 2, 26), date(2026, 3, 5), 8, 18),
        Site(
            "bots.example",
            "UTC",
            list(_programs(random.Random(19), "UTC", days(date(2026, 3, 1), date(2026, 3, 7)), 30)),
        ),
    ]


def _site(name: str, zone: str, since: date, until: date, visits_a_day: int, seed: int) -> Site:
    choice, again = random.Random(seed), random.Random(seed)
    made: list[Visit] = []
    for number, day in enumerate(days(since, until)):
        # Fewer at the weekend, and a little more each week.
        count = visits_a_day * (0.6 if day.weekday() > 4 else 1.0) * (1 + number / 150) * choice.uniform(0.85, 1.2)
        today: list[str] = []
        for _ in range(round(count)):
            hour = choice.choices(range(24), HOURS)[0]
            began = moment(zone, day, hour, choice.randrange(60), choice.randrange(60)) + choice.randrange(1000)
            # Some come again on the same day: one visitor, two visits.
            client = f"{name} {len(made)}" if again.random() > 0.18 or not today else again.choice(today)
            today.append(client)
            made.append(_visit(choice, name, client, began))
    made.extend(_programs(choice, zone, days(since, until), max(1, visits_a_day // 8)))
    return Site(name, zone, made)


def _visit(choice: random.Random, site: str, client: str, began: int) -> Visit:
    referrer, query = _one_of(choice, ARRIVALS)
    agent = _one_of(choice, AGENTS)
    hits: list[Hit] = []
    after, before = 0, ""
    for number in range(choice.choices((1, 2, 3, 4, 6), (45, 22, 16, 10, 7))[0]):
        path = _one_of(choice, PAGES)
        came = referrer if not number else f"https://{site}{before}"
        hits.append(Hit(after, path, query="" if number else query, referrer=came))
        after += 400
        if choice.random() < 0.3:
            hits.append(Hit(after, path, "vitals", vitals=_vitals(choice)))
        stay = round(choice.lognormvariate(9.8, 0.9))  # about 18 s
        hits.extend(_deeds(choice, path, after + stay // 2, site))
        after += stay
        hits.append(Hit(after, path, "engagement", engaged_ms=stay * 8 // 10, scroll_pct=choice.randrange(20, 101, 5)))
        before = path
    user = f"user {choice.randrange(60)}" if choice.random() < 0.2 else ""
    return Visit(client, began, hits, agent, user)


def _vitals(choice: random.Random) -> dict[str, float]:
    """Returns what a page reports; not every browser reports all of it."""
    said = {"lcp": choice.lognormvariate(7.6, 0.4), "cls": choice.random() ** 4, "fcp": choice.lognormvariate(7.1, 0.3)}
    if choice.random() < 0.7:
        said |= {"inp": choice.lognormvariate(4.8, 0.5), "ttfb": choice.lognormvariate(5.7, 0.5)}
    # Quarters and hundredths are exact in 32 bits or near enough for a page; the reference reads what was given.
    return {name: round(value * 4) / 4 if name != "cls" else round(value * 64) / 64 for name, value in said.items()}


def _deeds(choice: random.Random, path: str, after: int, site: str) -> list[Hit]:
    """Returns what somebody does on a page beside looking at it."""
    luck = choice.random()
    if path == "/pricing" and luck < 0.25:
        return [Hit(after, path, "signup", props={"plan": choice.choice(("free", "pro", "team"))})]
    if path == "/cart" and luck < 0.6:
        cents, currency = choice.randrange(500, 20_000, 50), choice.choices(CURRENCIES, (6, 3, 1))[0]
        bought = {"plan": choice.choice(("pro", "team"))}
        return [
            Hit(after, "/checkout", referrer=f"https://{site}/cart"),
            Hit(after + 900, "/checkout", "purchase", props=bought, cents=cents, currency=currency),
        ]
    if path == "/features" and luck < 0.2:
        return [Hit(after, path, "Outbound Link: Click", props={"url": "https://github.com/forebay/forebay"})]
    if path == "/docs" and luck < 0.2:
        return [Hit(after, path, "File Download", props={"url": f"https://{site}/manual.pdf"})]
    if path == "/contact" and luck < 0.4:
        return [Hit(after, path, "Form: Submission", props={"path": path, "form": "contact"})]
    if luck > 0.985:
        return [
            Hit(after, "/old-page", referrer=f"https://{site}{path}"),
            Hit(after + 100, "/old-page", "404", props={"path": "/old-page"}),
        ]
    return []


def _programs(choice: random.Random, zone: str, on: Sequence[date], visits_a_day: int) -> list[Visit]:
    visits = []
    for day in on:
        for number in range(visits_a_day):
            (bot, reasons, name, purpose), agent = (
                _one_of(choice, PROGRAMS),
                Agent(browser="", os="", device="", screen_w=0),
            )
            began = moment(zone, day, choice.randrange(24), choice.randrange(60))
            seen = [
                Hit(
                    second * 2_000,
                    _one_of(choice, PAGES),
                    bot=bot,
                    bot_reasons=reasons,
                    bot_name=name,
                    bot_purpose=purpose,
                )
                for second in range(choice.randrange(1, 6))
            ]
            visits.append(Visit(f"{name or bot} {day} {number}", began, seen, agent))
    return visits


def _one_of(choice: random.Random, weighed: Sequence[tuple[Thing, int]]) -> Thing:
    return choice.choices([thing for thing, _ in weighed], [weight for _, weight in weighed])[0]
