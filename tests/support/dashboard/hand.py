"""Holds the visits of `hand.example`, small enough to be counted on paper: three local days of Kathmandu (UTC+05:45).

    client  local time                        what it shows
    ada     1 March 10:00, 2 March 09:00      two days are two visitors; `signup`; a bounce of no second
    ben     1 March 12:00                     a bounce from a newsletter, who is identified
    cleo    1 March 23:50 to 2 March 00:10    one visit, begun on the first, two visitors
    dan     2 March 11:00                     two purchases in two currencies; a person known by `user_id`
    gpt     2 March 11:30                     a crawler
    fast    2 March 12:00                     found to be a program at its second page: its first counts a visitor, but no visit
    eve     3 March 08:00                     a 404, an outbound link, a download, vitals
    old     3 March 15:00                     nothing but engagement and identify: no visit, no visitor, but time on its page
    gus     3 March 16:00                     from an AI assistant; the person of dan, on another day

What is counted of people, worked out from the list below:

                 1 March                    2 March                         3 March        in all
    visitors     ada ben cleo          3    ada cleo dan fast        4     eve gus   2    9
    visits       ada ben cleo          3    ada dan                  2     eve gus   2    7
    pageviews    2 + 1 + 1             4    ada cleo dan fast        4     eve gus   2    10
    events       3 + 1 + 1             5    1 + 1 + 3 + 1            6     4 + 1     5    16
    bounces      ben                   1    ada                      1     gus       1    3
    seconds      180 + 5 + 1200     1385    0 + 360                360     120 + 3 123    1868
    engaged_ms   8000 + 30000 + 4000 42000                           0     old    5000    47000 (of visits 42000)
"""

from __future__ import annotations

from datetime import date

from tests.support.dashboard.seed import Agent, Hit, Site, Visit, moment

ZONE = "Asia/Kathmandu"
FIRST, SECOND, THIRD = date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 3)
MINUTE = 60_000

GERMAN = Agent("Chrome", "140", "Windows", "11", "desktop", 1920, "de-DE", "DE", "DE-BE", "Berlin")
FRENCH = Agent("Safari", "18", "iOS", "18", "mobile", 390, "fr-FR", "FR")
NEPALI = Agent("Firefox", "143", "Linux", "", "desktop", 1280, "ne-NP", "NP")
AMERICAN = Agent("Chrome", "139", "macOS", "15", "desktop", 1512, "en-US", "US", "US-CA", "San Francisco")
PROGRAM = Agent("", "", "", "", "", 0, "", "US")

VISITS = (
    Visit(
        "ada",
        moment(ZONE, FIRST, 10),
        (
            Hit(0, "/", referrer="https://www.google.com/"),
            Hit(20_000, "/", "engagement", engaged_ms=8_000, scroll_pct=60),
            Hit(1 * MINUTE, "/pricing", referrer="https://hand.example/"),
            Hit(2 * MINUTE, "/pricing", "signup", props={"plan": "pro"}),
            Hit(3 * MINUTE, "/pricing", "engagement", engaged_ms=30_000, scroll_pct=80),
        ),
        GERMAN,
    ),
    Visit("ada", moment(ZONE, SECOND, 9), (Hit(0, "/"),), GERMAN),
    Visit(
        "ben",
        moment(ZONE, FIRST, 12),
        (
            Hit(0, "/blog/hello", query="utm_source=newsletter&utm_medium=email&utm_campaign=spring"),
            Hit(3_000, "/blog/hello", "identify"),
            Hit(5_000, "/blog/hello", "engagement", engaged_ms=4_000, scroll_pct=40),
        ),
        FRENCH,
    ),
    Visit("cleo", moment(ZONE, FIRST, 23, 50), (Hit(0, "/"), Hit(20 * MINUTE, "/docs")), NEPALI),
    Visit(
        "dan",
        moment(ZONE, SECOND, 11),
        (
            Hit(0, "/shop", referrer="https://t.co/abc"),
            Hit(5 * MINUTE, "/shop", "purchase", props={"plan": "pro"}, cents=2_000, currency="USD"),
            Hit(6 * MINUTE, "/shop", "purchase", props={"plan": "team"}, cents=550, currency="EUR"),
        ),
        AMERICAN,
        "u1",
    ),
    Visit(
        "gpt",
        moment(ZONE, SECOND, 11, 30),
        (Hit(0, "/", bot="crawler", bot_reasons=4, bot_name="GPTBot", bot_purpose="ai-training"),),
        PROGRAM,
    ),
    Visit(
        "fast",
        moment(ZONE, SECOND, 12),
        (Hit(0, "/shop"), Hit(1 * MINUTE, "/shop", bot="rate", bot_reasons=128)),
        AMERICAN,
    ),
    Visit(
        "eve",
        moment(ZONE, THIRD, 8),
        (
            Hit(0, "/missing"),
            Hit(100, "/missing", "404", props={"path": "/missing"}),
            Hit(3_000, "/missing", "vitals", vitals={"lcp": 1200.0, "inp": 80.0, "cls": 0.25}),
            Hit(1 * MINUTE, "/missing", "Outbound Link: Click", props={"url": "https://other.example/x"}),
            Hit(2 * MINUTE, "/missing", "File Download", props={"url": "https://hand.example/a.pdf"}),
        ),
        NEPALI,
    ),
    Visit(
        "old",
        moment(ZONE, THIRD, 15),
        (Hit(0, "/", "engagement", engaged_ms=5_000, scroll_pct=10), Hit(0, "/", "identify")),
        GERMAN,
    ),
    Visit(
        "gus",
        moment(ZONE, THIRD, 16),
        (Hit(0, "/", referrer="https://chatgpt.com/"), Hit(3_000, "/", "vitals", vitals={"lcp": 3000.0})),
        AMERICAN,
        "u1",
    ),
)
HAND = Site("hand.example", ZONE, VISITS)
