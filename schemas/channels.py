"""Says how the source of a visit gets its name, and the visit its channel: the rules, and the SQL that follows them.

The channels are those of GA4's default channel grouping as of May 2026, in the order in which their rules are tried:
the first rule that holds decides. docs/channels.md gives each rule in words, with its source. A rule looks at two things:

- the kind of the source (search, social, ...), which the dictionary in ClickHouse gives for a host or a word;
- the marks of the URL: what `utm_medium`, `utm_campaign` and a click id say by themselves.

A channel is its number in `CHANNELS`, so the least number is the channel, and the order of precedence stands nowhere
else. `source_marks` has the least number that the marks alone give, and in four bits what else the kind must know of
them (`STATE`); `TABLE` has the number for each kind and each of these sixteen states. So a row costs a look into two
arrays. Whatever looks at a text is a chain of functions of one column of few different values (LowCardinality), which
ClickHouse runs once for each different value of a block. Conditions on texts, row by row, took ten times as long.

The migration that makes the views has these texts as they are, and tests/unit/schemas/test_channels.py compares them. A
later migration that makes the views anew has them again.

Not promised: GA4's answer where GA4 knows more than the URL and the referrer, such as the type of a Google Ads campaign.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from schemas.sql import literal

CHANNELS = (
    "Cross-network", "Paid Shopping", "Paid Search", "Paid Social", "Paid Video", "Display", "Paid Other",
    "Organic Shopping", "Organic Social", "Organic Video", "AI Assistant", "Organic Search", "Email", "Affiliates",
    "Audio", "SMS", "Mobile Push Notifications", "Referral", "Direct",
)  # fmt: skip
NUMBER = {channel: number for number, channel in enumerate(CHANNELS)}
# What `source_marks` has beside the number of a channel (five bits).
PAID_MEDIUM, SHOP_CAMPAIGN, AD, HAS_MEDIUM = 1 << 5, 1 << 6, 1 << 7, 1 << 8
STATE, STATES = 5, 16  # from this bit on, and how many there are
OWNER = 9  # from this bit on: whose click id it is, counted from 1 in `CLICK_IDS`


class Kind(NamedTuple):
    """Says what channel a source of a kind has: for a click that nobody paid for, and for one that somebody did."""

    free: str
    paid: str = "Paid Other"


# A kind is stored as its number, counted from 1: a new one comes last. `none` is no source, like a payment page that
# people come back from.
KINDS = {
    "search": Kind("Organic Search", "Paid Search"),
    "social": Kind("Organic Social", "Paid Social"),
    "video": Kind("Organic Video", "Paid Video"),
    "shopping": Kind("Organic Shopping", "Paid Shopping"),
    "ai": Kind("AI Assistant"),
    "email": Kind("Email"),
    "affiliate": Kind("Affiliates"),
    "audio": Kind("Audio"),
    "sms": Kind("SMS"),
    "push": Kind("Mobile Push Notifications"),
    "display": Kind("Display"),
    "referral": Kind("Referral"),
    "none": Kind("Direct"),
}
NO_SOURCE = list(KINDS).index("none") + 1


class ClickId(NamedTuple):
    """Describes the click ids of one network: their parameters, the host that stands for it, and what they mean."""

    parameters: tuple[str, ...]
    host: str
    is_ad: bool = True  # it stands in the address only when somebody paid for the click
    channel: str = "Direct"


CLICK_IDS = (
    ClickId(("gclid", "gbraid", "wbraid"), "google.com"),
    ClickId(("msclkid",), "bing.com"),
    ClickId(("yclid",), "yandex.ru"),
    ClickId(("dclid",), "doubleclick.net", channel="Display"),
    ClickId(("ttclid",), "tiktok.com"),
    ClickId(("twclid",), "x.com"),
    ClickId(("li_fat_id",), "linkedin.com"),
    ClickId(("fbclid",), "facebook.com", is_ad=False),  # every link that leaves Facebook has one
)

# Values of utm_medium that say the channel by themselves, and patterns for the others. `N` is any character.
MEDIA: Mapping[str, tuple[str, ...]] = {
    "Display": ("display", "banner", "expandable", "interstitial", "cpm"),
    "Organic Social": ("social", "social-network", "social-media", "sm", "social network", "social media"),
    "AI Assistant": ("ai-assistant",),
    "Organic Search": ("organic",),
    "Email": ("email", "e-mail", "e_mail", "e mail"),
    "Affiliates": ("affiliate", "affiliates"),
    "Audio": ("audio",),
    "SMS": ("sms",),
    "Referral": ("referral", "app", "link"),
}
MEDIUM_PATTERNS = {
    "Paid Other": "N*cp.*|ppc|retargeting|paid.*",
    "Organic Video": "N*video.*",
    "Mobile Push Notifications": "N*(?:mobile|notification).*|N*push",
}
CAMPAIGN_PATTERNS = {
    "Cross-network": "N*cross-network.*",
    "AI Assistant": "[(]ai-assistant[)]",
    "Organic Shopping": "(?:N*[^a-df-z\x01])?shop.*|N*shopping.*",
}
LEVELS = 4  # a host, and three of its parents
# What the views read: one row, made of the lists whenever one changes, because making it took each query 10 ms of CPU.
INDEXED = ("words", "places", "names", "kinds", "own", "own_words", "clicked")
INDEX = f"SELECT argMax(({', '.join(INDEXED)}), version) FROM forebay.source_index"
LISTS_MADE_OF = "SELECT sum(last) FROM (SELECT max(version) AS last FROM forebay.source_lists GROUP BY list, site)"
VERSION = 20261129  # of the shipped list: a change of schemas/sources needs a later one
LISTS = "SELECT list, toString(site) AS site, version, words, names, arrayMap(k -> toUInt8(k), kinds) AS kinds FROM forebay.source_lists"


def in_table(kind: Kind | None, state: int) -> int:
    """Returns the number of the channel of a source in a state; a source of which nothing is known is a referral."""
    bits = state << STATE
    free, paid = kind or Kind("Referral")
    is_paid = bits & PAID_MEDIUM or (bits & AD and (not bits & HAS_MEDIUM or paid != "Paid Other"))
    found = [free, paid, "Paid Other", *(["Paid Shopping"] if bits & SHOP_CAMPAIGN else [])] if is_paid else [free]
    return min(NUMBER[one] for one in found)


TABLE = [in_table(kind, state) for kind in (None, *KINDS.values()) for state in range(STATES)]


def source_marks(medium: str = "utm_medium", campaign: str = "utm_campaign", query: str = "query") -> str:
    """Returns the expression of `source_marks` from three columns, of which the first two are LowCardinality."""
    least = len(CHANNELS) - 1
    paid = {"cpm": NUMBER["Display"] | PAID_MEDIUM}
    media = {
        word: _code((NUMBER[of] | HAS_MEDIUM) | paid.get(word, 0)) for of, words in MEDIA.items() for word in words
    }
    medium = f"transform(lower(trimBoth({_bare(medium)})), {_texts(media)}, {_texts(media.values())})"
    state = {"Paid Other": PAID_MEDIUM | HAS_MEDIUM, "Organic Shopping": SHOP_CAMPAIGN}
    patterns = {pattern: NUMBER[of] | state.get(of, HAS_MEDIUM) for of, pattern in MEDIUM_PATTERNS.items()}
    medium = _matched(medium, patterns | {"N+": least | HAS_MEDIUM, "": least})
    patterns = {pattern: NUMBER[of] | state.get(of, 0) for of, pattern in CAMPAIGN_PATTERNS.items()}
    campaign = _matched(f"lower({_bare(campaign)})", patterns | {"N*": least})
    owners = {
        parameter: NUMBER[one.channel] | AD * one.is_ad | number << OWNER
        for number, one in enumerate(CLICK_IDS, 1)
        for parameter in one.parameters
    }
    found = f"extract({query}, '(?:^|&)({'|'.join(owners)})=')"
    click = f"if({query} = '', {least}, transform({found}, {_texts(owners)}, {list(owners.values())}, {least}))"
    parts = (medium, campaign, click)
    numbers, states = (
        [f"bitAnd({part}, {(1 << STATE) - 1})" for part in parts],
        [f"bitShiftRight({part}, {STATE})" for part in parts],
    )
    return f"toUInt16(least({', '.join(numbers)}) + bitShiftLeft({' + '.join(states)}, {STATE}))"


def _bare(text: str) -> str:
    """Returns a text of an address without the character that codes begin with: with it anybody could write one."""
    return f"replaceAll({text}, '\\x01', '')"


def _code(number: int) -> str:
    """Returns a number as a text that no `_bare` one is: what has become one is not looked at again."""
    return f"\x01{number}"


def _matched(text: str, patterns: Mapping[str, int]) -> str:
    """Returns the number of the first pattern that a text matches as a whole, as a chain of functions of one column."""
    for pattern, number in patterns.items():
        regex = pattern.replace("N", "[^\x01]")
        text = f"replaceRegexpOne({text}, {_sql(f'(?s)^(?:{regex})$')}, {_sql(_code(number))})"
    return f"toUInt16(substring({text}, 2))"


def _sql(text: str) -> str:
    return literal(text).replace("\x01", "\\x01")


def _texts(words: Iterable[str]) -> str:
    return f"[{', '.join(map(_sql, words))}]"


def dictionary(lists: str = LISTS) -> str:
    """Returns the query for one row of one tuple (`INDEXED`), which `named` reads. `lists` has rows of source_lists.

    1 words and 2 their places, 3 names and 4 kinds: first those of our users, then the shipped ones. 5 for the users' own
    rows SITE, newline, WORD; 6 their words. The first of each is found by nothing, because `transform` wants one. 7 the
    places of the networks of click ids; of no click id that of no source.
    """
    hosts = ", ".join(literal(one.host) for one in CLICK_IDS)
    return f"""SELECT (words, places, names, kinds, own, own_words, arrayConcat([1], arrayMap(h -> arrayElement(places, indexOf(words, h)), [{hosts}])))
        FROM
        (
            SELECT
                arrayConcat(['\\0'], anyIf(last.1, list = 'shipped')) AS words,
                arrayConcat([''], arrayFlatten(groupArrayIf(last.2, list = 'own')), [''], anyIf(last.2, list = 'shipped')) AS names,
                arrayConcat([{NO_SOURCE}], arrayFlatten(groupArrayIf(last.3, list = 'own')), [{NO_SOURCE}], anyIf(last.3, list = 'shipped')) AS kinds,
                arrayConcat(['\\0'], arrayFlatten(groupArrayIf(arrayMap(w -> concat(site, '\\n', w), last.1), list = 'own'))) AS own,
                arrayConcat(['\\0'], groupUniqArrayArrayIf(last.1, list = 'own')) AS own_words,
                arrayMap(n -> n + length(own), arrayEnumerate(words)) AS places
            FROM (SELECT list, site, argMax((words, names, kinds), version) AS last FROM ({lists}) GROUP BY list, site)
        )"""


def index() -> str:
    """Returns the statement that puts the lists that there are in force."""
    version = "greatest(toUInt64(toUnixTimestamp64Milli(now64(3))), assumeNotNull((SELECT max(version) FROM forebay.source_index)) + 1)"
    columns = ", ".join(f"asked.{number}" for number in range(1, len(INDEXED) + 1))
    return (
        f"INSERT INTO forebay.source_index (version, made_of, {', '.join(INDEXED)}) WITH ({dictionary()}) AS asked"
        f" SELECT {version}, assumeNotNull(({LISTS_MADE_OF})), {columns}"
    )


def named(asked: str, marks: str, *, source: str = "source") -> str:
    """Returns the WITH of a SELECT that has a `site`. `asked` is the query for the dictionary, `source` is LowCardinality.

    Then `source_named` is the source's name and `source_channel` its channel. ClickHouse writes out an alias wherever it is
    used, so each is used as rarely as can be: reading a query of some thousand functions takes it 10 ms.
    """
    word = f"substringIndex(replaceRegexpOne(lowerUTF8(trimBoth({source})), '^[a-z-]*:?//', ''), '/', 1)"
    words = [f"source_word{level or ''}" for level in range(LEVELS)]
    places = ", ".join(f"nullIf(transform({one}, sources_now.1, sources_now.2, 0), 0)" for one in words)
    has_own = " + ".join(f"transform({one}, sources_now.6, arrayEnumerate(sources_now.6), 0)" for one in words)
    parents = f"arrayMap(n -> arrayStringConcat(arraySlice(splitByChar('.', toString(source_word)), n), '.'), {[*range(1, LEVELS + 1)]})"
    here = f"arrayMap(w -> indexOf(sources_now.5, concat(toString(site), '\\n', w)), {parents})"
    every = f"arrayMap(w -> indexOf(sources_now.5, concat('\\n', w)), {parents})"
    state = f"bitAnd(bitShiftRight(source_marks, {STATE}), {STATES - 1})"
    number = f"arrayElement({TABLE}, {STATES} * arrayElement(sources_now.4, source_at) + {state} + 1)"
    aliases = {
        "sources_now": f"({asked})",
        "source_marks": marks,
        "source_word": f"replaceRegexpAll(replaceRegexpOne({word}, ':[0-9]+$', ''), '^www[.]|[.]$', '')",
        **{one: f"extract(source_word, '^(?:[^.]*[.]){{{n}}}([^.]+[.].+)$')" for n, one in enumerate(words) if n},
        "source_shipped": f"coalesce({places}, 0)",
        "source_own": f"if({has_own} = 0, 0, arrayFirst(n -> n != 0, arrayConcat({here}, {every})))",
        "source_clicked": f"arrayElement(sources_now.7, bitShiftRight(source_marks, {OWNER}) + 1)",
        "source_at": "coalesce(nullIf(source_own, 0), if(source_word = '', source_clicked, source_shipped))",
        "source_named": "if(source_at = 0, toString(source_word), arrayElement(sources_now.3, source_at))",
        "source_channel": f"arrayElement({_texts(CHANNELS)}, least(bitAnd(source_marks, 31), {number}) + 1)",
    }
    return "WITH\n    " + ",\n    ".join(f"{text} AS {name}" for name, text in aliases.items())


def events_view(name: str, condition: str, aliases: Iterable[str]) -> str:
    """Returns the statement that makes a view of events with names and channels; `aliases` are those of `events`."""
    return f"""CREATE OR REPLACE VIEW forebay.{name} ${{ON_CLUSTER}} AS
{named(INDEX, source_marks())}
SELECT * REPLACE (source_channel AS channel), {", ".join(aliases)}, source_named AS source_name
FROM forebay.events WHERE {condition}"""


def sessions_view(columns: Iterable[str]) -> str:
    """Returns the statement that makes the view of visits; `columns` are those of `sessions` that it has."""
    # Made LowCardinality, so that each different value of a block is looked at once.
    marks = source_marks("toLowCardinality(utm_medium)", "toLowCardinality(utm_campaign)")
    return f"""CREATE OR REPLACE VIEW forebay.v_sessions ${{ON_CLUSTER}} AS
{named(INDEX, marks, source="toLowCardinality(source)")}
SELECT {", ".join(columns)}, source_named AS source_name, source_channel AS channel
FROM forebay.sessions WHERE bot = '' AND is_visit = 1"""
