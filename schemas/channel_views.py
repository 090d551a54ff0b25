"""Makes the SQL that gives a visit the name of its source and its channel, by the rules of schemas/channels.py.

The views read one row of `forebay.source_index`, in which all lists of sources are arrays: making these arrays of
`forebay.source_lists` took each query 10 ms of CPU, so `forebay channels` and `forebay migrate` make them whenever a list changes.
`INDEXED` names them. A *place* is a number in `names` and `kinds`, in which the users' own words come first.

Every condition on a text is a chain of functions of one column that has few different values (LowCardinality), because
ClickHouse runs such a chain once for each different value of a block, and not for each row. A chain can't stop at the first
pattern that matches. So a value that matched becomes the code point 1 and a number, which no later pattern matches.

schemas/migrations/0011_visitors.sql and 0015_plans_of_names.sql have these texts as they are, and
tests/unit/schemas/test_channels.py compares them. A later migration that makes the views anew has them again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from schemas.channels import (
    AD_CLICK,
    CAMPAIGN_PATTERNS,
    CHANNEL_MASK,
    CHANNELS,
    CLICK_IDS,
    HAS_MEDIUM,
    MEDIA,
    MEDIUM_PATTERNS,
    NETWORK_SHIFT,
    NO_SOURCE,
    NUMBER,
    PAID_MEDIUM,
    SHOP_CAMPAIGN,
    STATE_SHIFT,
    STATES,
    TABLE,
)
from schemas.sql import literal

LEVELS = 4  # a host is looked up, and three of its parents
# The first word of each array is one that nothing is looked up by, because `transform` wants an array that is not empty.
INDEXED = (
    "words",  # of the shipped list
    "places",  # of each of these words
    "names",  # of the sources: those of the users' own words, then those of the shipped ones
    "kinds",  # of the same, as numbers
    "own",  # the users' own words: site, newline, word. The place of each is its position here, counted from 1
    "own_words",  # the same words without the site, each once
    "clicked",  # the place of each network of `CLICK_IDS`, behind that of no source
)
INDEX = f"SELECT argMax(({', '.join(INDEXED)}), version) FROM forebay.source_index"
LISTS = "SELECT list, toString(site) AS site, version, words, names, arrayMap(k -> toUInt8(k), kinds) AS kinds FROM forebay.source_lists"
# The sum of the lists' versions, which is another one whenever a list has changed.
LISTS_MADE_OF = "SELECT sum(last) FROM (SELECT max(version) AS last FROM forebay.source_lists GROUP BY list, site)"
# The ALIAS columns of `events`, which a view has to name beside `*`.
EVENT_ALIASES = ("bot_score", "screen_class")
# The columns of `sessions` that `v_sessions` has: all but the tuples of release 0.1.0, for which `SELECT *` would pay.
VISIT_COLUMNS = (
    "site", "session_id", "visitor_id", "started_at", "ended_at", "seconds", "events", "pageviews", "custom_events", "engaged_ms",
    "is_bounce", "entry_hostname", "entry_path", "exit_hostname", "exit_path", "source", "referrer", "query", "utm_source",
    "utm_medium", "utm_campaign", "utm_term", "utm_content", "country", "region", "city", "language", "browser",
    "browser_version", "os", "os_version", "device", "screen_class", "first_visitor", "last_visitor",
    "first_active_at", "last_active_at",
)  # fmt: skip
OF_BOTS = ("bot", "is_visit")  # `named_sessions` has these too, by which `v_sessions` leaves sessions out
DIRECT = NUMBER["Direct"]  # the last channel: that of what says nothing


def index_of(lists: str = LISTS) -> str:
    """Returns the query for one row of one tuple, `INDEXED`, that is made of `lists`: a query for rows of source_lists."""
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


def put_in_force() -> str:
    """Returns the statement that makes a new row of source_index of the lists that there are."""
    version = "greatest(toUInt64(toUnixTimestamp64Milli(now64(3))), assumeNotNull((SELECT max(version) FROM forebay.source_index)) + 1)"
    columns = ", ".join(f"asked.{number}" for number in range(1, len(INDEXED) + 1))
    return (
        f"INSERT INTO forebay.source_index (version, made_of, {', '.join(INDEXED)}) WITH ({index_of()}) AS asked"
        f" SELECT {version}, assumeNotNull(({LISTS_MADE_OF})), {columns}"
    )


def _marks_of_medium(column: str) -> str:
    marks = {word: NUMBER[channel] | HAS_MEDIUM for channel, words in MEDIA.items() for word in words}
    marks["cpm"] |= PAID_MEDIUM
    codes = [_code(number) for number in marks.values()]
    text = f"transform(lower(trimBoth({_bare(column)})), {_texts(marks)}, {_texts(codes)})"
    patterns = {pattern: NUMBER[channel] | HAS_MEDIUM for channel, pattern in MEDIUM_PATTERNS.items()}
    patterns[MEDIUM_PATTERNS["Paid Other"]] |= PAID_MEDIUM
    return _matched(text, patterns | {"N+": DIRECT | HAS_MEDIUM, "": DIRECT})


def _marks_of_campaign(column: str) -> str:
    patterns = {pattern: NUMBER[channel] for channel, pattern in CAMPAIGN_PATTERNS.items()}
    patterns[CAMPAIGN_PATTERNS["Organic Shopping"]] |= SHOP_CAMPAIGN
    return _matched(f"lower({_bare(column)})", patterns | {"N*": DIRECT})


def _marks_of_click_id(column: str) -> str:
    marks = {
        parameter: NUMBER[one.channel] | AD_CLICK * one.is_ad | network << NETWORK_SHIFT
        for network, one in enumerate(CLICK_IDS, 1)
        for parameter in one.parameters
    }
    found = f"extract({column}, '(?:^|&)({'|'.join(marks)})=')"
    return f"if({column} = '', {DIRECT}, transform({found}, {_texts(marks)}, {list(marks.values())}, {DIRECT}))"


def _bare(text: str) -> str:
    """Returns a text of an address without code point 1: else an address could hold a code, and with it any channel."""
    return f"replaceAll({text}, '\\x01', '')"


def _code(number: int) -> str:
    """Returns a number as a text that no pattern matches."""
    return f"\x01{number}"


def _matched(text: str, patterns: Mapping[str, int]) -> str:
    """Returns the expression for the number of the first pattern that a text, or else its code, matches as a whole.

    ClickHouse 24.8 replaces nothing in an empty text, also where a pattern matches it, and then the number is missing.
    """
    of_nothing = next(
        number for pattern, number in patterns.items() if re.fullmatch(pattern.replace("N", "[^\x01]"), "")
    )
    for pattern, number in patterns.items():
        regex = pattern.replace("N", "[^\x01]")
        text = f"replaceRegexpOne({text}, {_sql(f'(?s)^(?:{regex})$')}, {_sql(_code(number))})"
    return f"toUInt16OrDefault(substring({text}, 2), toUInt16({of_nothing}))"


def _sql(text: str) -> str:
    return literal(text).replace("\x01", "\\x01")


def _texts(words: Iterable[str]) -> str:
    return f"[{', '.join(map(_sql, words))}]"


def named(index: str, *, of_visits: bool) -> str:
    """Returns the WITH that gives a SELECT of visits, or of events, two aliases more: `source_named` and `source_channel`.

    `index` is a query for `INDEXED`. The columns of visits are plain, and are made LowCardinality. `query` is not in either case.

    ClickHouse writes out an alias wherever it is used, and what it takes to plan a question grows with that. So each is used as rarely as
    can be: the marks are never put together as one number, and a name looks at nothing but the source and the click id.
    """
    source, medium, campaign = (
        f"toLowCardinality({one})" if of_visits else one for one in ("source", "utm_medium", "utm_campaign")
    )
    word = f"substringIndex(replaceRegexpOne(lowerUTF8(trimBoth({source})), '^[a-z-]*:?//', ''), '/', 1)"
    words = [f"source_word{level or ''}" for level in range(LEVELS)]
    places = ", ".join(f"nullIf(transform({one}, sources_now.1, sources_now.2, 0), 0)" for one in words)
    has_own = " + ".join(f"transform({one}, sources_now.6, arrayEnumerate(sources_now.6), 0)" for one in words)
    parents = f"arrayMap(n -> arrayStringConcat(arraySlice(splitByChar('.', toString(source_word)), n), '.'), {[*range(1, LEVELS + 1)]})"
    here = f"arrayMap(w -> indexOf(sources_now.5, concat(toString(site), '\\n', w)), {parents})"
    every = f"arrayMap(w -> indexOf(sources_now.5, concat('\\n', w)), {parents})"
    marks = ("source_medium", "source_campaign", "source_click")
    channels = ", ".join(f"bitAnd({one}, {CHANNEL_MASK})" for one in marks)
    # No two of the three have the same bits of the state.
    state = f"bitAnd(bitShiftRight(bitOr(bitOr({', '.join(marks[:2])}), {marks[2]}), {STATE_SHIFT}), {STATES - 1})"
    by_kind = f"arrayElement({TABLE}, {STATES} * arrayElement(sources_now.4, source_at) + {state} + 1)"
    aliases = {
        "sources_now": f"({index})",
        "source_medium": _marks_of_medium(medium),
        "source_campaign": _marks_of_campaign(campaign),
        "source_click": _marks_of_click_id("query"),
        "source_word": f"replaceRegexpAll(replaceRegexpOne({word}, ':[0-9]+$', ''), '^www[.]|[.]$', '')",
        **{one: f"extract(source_word, '^(?:[^.]*[.]){{{n}}}([^.]+[.].+)$')" for n, one in enumerate(words) if n},
        # Places: of the shipped word, of the user's own, of the click id's network, and the one that counts. 0: there is none.
        "source_shipped": f"coalesce({places}, 0)",
        # Without words of the user's own ClickHouse drops the rest before it plans anything.
        "source_own": (
            f"if(length(sources_now.6) = 1, 0, if({has_own} = 0, 0, arrayFirst(n -> n != 0, arrayConcat({here}, {every}))))"
        ),
        "source_clicked": f"arrayElement(sources_now.7, bitShiftRight(source_click, {NETWORK_SHIFT}) + 1)",
        "source_at": "coalesce(nullIf(source_own, 0), if(source_word = '', source_clicked, source_shipped))",
        # The place is written once, because it is the longest of all.
        "source_named": "coalesce(arrayElement(sources_now.3, nullIf(source_at, 0)), toString(source_word))",
        "source_channel": f"arrayElement({_texts(CHANNELS)}, least({channels}, {by_kind}) + 1)",
    }
    return "WITH\n    " + ",\n    ".join(f"{text} AS {name}" for name, text in aliases.items())


def views() -> tuple[str, ...]:
    """Returns the statements that make the four views, for a migration."""
    people = "bot = ''"
    return (
        _events_view("v_events", people),
        _events_view("v_pageviews", f"{people} AND name = 'pageview'"),
        *visit_views(),
    )


def visit_views() -> tuple[str, str]:
    """Returns the statements that make the two views of visits: of all sessions, and of people's visits among them."""
    every = f"""CREATE OR REPLACE VIEW forebay.named_sessions ${{ON_CLUSTER}} AS
{named(INDEX, of_visits=True)}
SELECT {", ".join((*VISIT_COLUMNS, *OF_BOTS))}, source_named AS source_name, source_channel AS channel
FROM forebay.sessions"""
    people = f"""CREATE OR REPLACE VIEW forebay.v_sessions ${{ON_CLUSTER}} AS
SELECT {", ".join(VISIT_COLUMNS)}, source_name, channel
FROM forebay.named_sessions WHERE bot = '' AND is_visit = 1"""
    return every, people


def _events_view(name: str, condition: str) -> str:
    return f"""CREATE OR REPLACE VIEW forebay.{name} ${{ON_CLUSTER}} AS
{named(INDEX, of_visits=False)}
SELECT * REPLACE (source_channel AS channel), {", ".join(EVENT_ALIASES)}, source_named AS source_name
FROM forebay.events WHERE {condition}"""
