"""Has the SQL by which visits of a day are copied. A day is a UTC day and a site's sessions that were opened on it (0012_closed_days.sql).

A copy is what `named_sessions` says, with the local days of the site's zone in it, and sums of that. So what dashboard/queries/visits.sql
reads of `sessions` can be read of copies (dashboard/catalogue/copies.py). A test compares them.
"""

from __future__ import annotations

from schemas.acts import NO_ACTS_SQL
from schemas.closed import ACT_COLUMNS, COPY_TABLES, DAY_SPAN, OF_EVENT, SETS, SUMMED

VISIT = (
    "last_active_at", "events", "seconds", "pageviews", "engaged_ms", "is_bounce", "entry_hostname", "entry_path", "exit_hostname", "exit_path",
    "source_name", "channel", "referrer", "utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "country", "region",
    "city", "language", "browser", "browser_version", "os", "os_version", "device", "screen_class",
)  # fmt: skip
# As in the projection `session_days`, which answers it.
FINGERPRINTS = """
SELECT site, intDiv(session_id, 371085174374400) AS day, count() AS events,
    cityHash64(count(), sum(cityHash64(session_id, ts, visitor_id, name, bot, engaged_ms))) AS made_of
FROM forebay.events
"""
# A session that took longer has no acts in a copy: which of its events a question about visits looks at depends on the question's period.
LONG_MS = 86_400_000
LISTS = "(SELECT max(version) FROM forebay.source_index)"
# The copies that have rows. A day that has rows has visits, so a note of a copy without rows says nothing: something deleted them.
_OF_TABLES = [f"SELECT DISTINCT site, opened, copy FROM forebay.{table}" for table in COPY_TABLES]
_HELD = f"({' INTERSECT DISTINCT '.join(_OF_TABLES)})"
# Days that are over and have no true copy, by zone and site, as they lie in the table, the last ones first.
DUE = f"""
SELECT site, day, zone, events, made_of
FROM (
    SELECT site, day, events, made_of, transform(toString(site), {{sites:Array(String)}}, {{zones:Array(String)}}, {{zone:String}}) AS zone
    FROM ({FINGERPRINTS} GROUP BY site, day)
    WHERE day < {{today:UInt64}}
)
WHERE (site, day, zone, made_of) NOT IN (
    SELECT site, toUInt64(opened), zone, made_of FROM forebay.closed_days
    WHERE lists = {LISTS} AND (site, opened, copy) IN {_HELD}
)
ORDER BY zone, site, day DESC
LIMIT 10000
"""
# The days of a copy, as pairs of a site and a day.
_PAIRS = "(SELECT arrayJoin(arrayZip({sites:Array(String)}, {days:Array(UInt64)})))"
_OF_DAYS = f"site IN {{sites:Array(String)}} AND (toString(site), intDiv(session_id, {DAY_SPAN})) IN {_PAIRS}"
NOW_MADE_OF = f"SELECT site, day, made_of FROM ({FINGERPRINTS} WHERE site IN {{sites:Array(String)}} GROUP BY site, day) WHERE (toString(site), day) IN {_PAIRS}"
PARTS = """if(
    first_visitor = last_visitor AND toDate(last_active_at, {zone:String}) = toDate(started_at, {zone:String}),
    [(1, started_at, first_visitor)],
    [(1, started_at, 0), (0, first_active_at, first_visitor), (0, last_active_at, last_visitor)])"""
# A copy's number is that of its statement plus that of its day, so that a site's copies of two days never have the same.
# `is_once` is of whole days, from session `first` to before session `end`, also where a day is copied in pieces, which are from session
# `from` to before session `upto`.
COPY = f"""
INSERT INTO forebay.closed_visits
    (site, opened, copy, session_id, is_begin, part_day, part_at, visitor, is_once, bot, is_visit, started_at, last_day, {", ".join(VISIT)})
SELECT site, toDate(toUInt16(intDiv(session_id, {DAY_SPAN}))) AS opened,
    {{copy:UInt64}} + intDiv(session_id, {DAY_SPAN}), session_id, part.1,
    toDate(part.2, {{zone:String}}), part.2, part.3,
    part.3 != 0 AND (site, intDiv(session_id, {DAY_SPAN}), part.3) NOT IN (
        SELECT site, intDiv(session_id, {DAY_SPAN}) AS day, part.3 FROM forebay.sessions ARRAY JOIN {PARTS} AS part
        WHERE {_OF_DAYS} AND session_id >= {{first:UInt64}} AND session_id < {{end:UInt64}} AND part.3 != 0
        GROUP BY site, day, part.3 HAVING count() > 1
    ),
    bot, is_visit, started_at, toDate(last_active_at, {{zone:String}}), {", ".join(VISIT)}
FROM forebay.named_sessions ARRAY JOIN {PARTS} AS part
WHERE {_OF_DAYS} AND session_id >= {{from:UInt64}} AND session_id < {{upto:UInt64}} AND (part.1 = 1 OR part.3 != 0)
"""
# It looks at every copy of every day, so of two days that are copied at once the one that looks later finds the visitors of both.
REPEATS = """
INSERT INTO forebay.closed_repeats (site, visitor)
SELECT site, visitor FROM forebay.closed_visits
WHERE site IN {sites:Array(String)} AND visitor != 0 AND (site, visitor) IN (
    SELECT site, visitor FROM forebay.closed_visits WHERE site IN {sites:Array(String)} AND copy BETWEEN {copy:UInt64} AND {copy:UInt64} + 65535
)
GROUP BY site, visitor
HAVING uniqExact(opened) > 1
"""
# The sums of a copy by one set of columns. Columns that are not in it are empty.
_SUMS_OF = """SELECT site, toUInt8({number}), opened, copy, part_day, last_day, bot != '' AS is_bot, sum(is_begin * events), sum(is_once),
    sum(is_begin * is_visit), sum(is_begin * is_visit * is_bounce), sum(is_begin * is_visit * seconds),
    sum(is_begin * is_visit * pageviews), sum(is_begin * is_visit * engaged_ms), {columns}
FROM forebay.closed_visits
WHERE site IN {{sites:Array(String)}} AND copy BETWEEN {{copy:UInt64}} AND {{copy:UInt64}} + 65535
GROUP BY site, opened, copy, part_day, last_day, is_bot, {grouped}"""


def _sums_of(number: int) -> str:
    grouped = SETS[number]
    columns = ", ".join(column if column in grouped else "toLowCardinality('')" for column in SUMMED)
    return _SUMS_OF.format(number=number, columns=columns, grouped=", ".join(grouped))


SUMS = f"""
INSERT INTO forebay.closed_sums (site, columns, opened, copy, part_day, last_day, is_bot, events, alone, visits, bounces, seconds,
    pageviews, engaged_ms, {", ".join(SUMMED)})
{" UNION ALL ".join(map(_sums_of, range(len(SETS))))}
"""
# What a session is as a whole decides about each of its acts, so sessions are looked at first. Each purchase is a row, so that counting
# purchases is counting rows, which a projection of `events` answers too (dashboard/queries/revenue.sql).
ACTS = f"""
INSERT INTO forebay.closed_acts
    (site, opened, copy, is_kept, session_id, part_day, began_day, is_of_people, visitor, {", ".join(OF_EVENT)}, events, revenue)
SELECT site, toDate(toUInt16(day)), {{copy:UInt64}} + day, is_kept, session,
    if(is_kept, toDate(toStartOfFifteenMinutes(ts), {{zone:String}}), toDate(0)) AS part_day,
    if(is_kept, toDate(began, {{zone:String}}), toDate(0)) AS began_day,
    is_kept AND is_of_people AS of_people,
    if(is_kept, visitor_id, 0) AS visitor,
    {", ".join(f"if(is_kept, {column}, '') AS of_{column}" for column in OF_EVENT)},
    count(), sum(if(is_kept, revenue, 0))
FROM (
    SELECT e.site AS site, intDiv(e.session_id, {DAY_SPAN}) AS day, e.ts AS ts, e.visitor_id AS visitor_id, e.revenue AS revenue,
        {", ".join(f"e.{column} AS {column}" for column in OF_EVENT)}, s.began AS began, s.is_of_people AS is_of_people,
        NOT s.is_long AND e.bot = '' AND (e.name NOT IN {NO_ACTS_SQL} OR e.currency != '') AS is_kept,
        if(is_kept OR s.is_long, e.session_id, 0) AS session
    FROM (SELECT *, screen_class FROM forebay.events WHERE {_OF_DAYS} AND session_id >= {{from:UInt64}} AND session_id < {{upto:UInt64}}) AS e
    INNER JOIN (
        SELECT site, session_id, min(ts) AS began, dateDiff('millisecond', min(ts), max(ts)) > {LONG_MS} AS is_long,
            countIf(bot != '') = 0 AS is_of_people
        FROM forebay.events
        WHERE {_OF_DAYS} AND session_id >= {{from:UInt64}} AND session_id < {{upto:UInt64}}
        GROUP BY site, session_id
    ) AS s ON e.site = s.site AND e.session_id = s.session_id
)
GROUP BY site, day, is_kept, session, part_day, began_day, of_people, visitor, {", ".join(f"of_{column}" for column in OF_EVENT)},
    if(is_kept AND currency != '', rowNumberInAllBlocks() + 1, 0)
"""
# Sums of a copy's acts by one column: the visitors of each local day, the visits, and the events. Each visitor and each session is in one
# piece as a whole.
_ACTS_OF_COPY = "site IN {{sites:Array(String)}} AND copy BETWEEN {{copy:UInt64}} AND {{copy:UInt64}} + 65535"
_PIECE = "session_id % {{pieces:UInt64}} = {{piece:UInt64}}"
_IS_ACT = f"is_kept AND name NOT IN {NO_ACTS_SQL}"
_ACT_SUMS_OF = f"""SELECT site, toUInt8({{number}}), opened, copy, part_day, began_day, value, sum(a.visitors), sum(a.leading), sum(a.visits),
    sum(a.pageviews), sum(a.events), sum(a.others)
FROM (
    SELECT site, opened, copy, part_day, part_day AS began_day, value,
        count() AS visitors, countIf(at = 1) AS leading, 0 AS visits, 0 AS pageviews, 0 AS events, 0 AS others
    FROM (
        SELECT site, opened, copy, part_day, groupUniqArray({{column}}) AS found FROM forebay.closed_acts
        WHERE {_ACTS_OF_COPY} AND visitor % {{{{pieces:UInt64}}}} = {{{{piece:UInt64}}}} AND {_IS_ACT}
        GROUP BY site, opened, copy, part_day, visitor
    )
    ARRAY JOIN found AS value, arrayEnumerate(found) AS at
    GROUP BY site, opened, copy, part_day, value
    UNION ALL
    SELECT site, opened, copy, first_day, began_day, value, 0, 0, count(), 0, 0, 0
    FROM (
        SELECT site, opened, copy, began_day, {{column}} AS value, min(part_day) AS first_day FROM forebay.closed_acts
        WHERE {_ACTS_OF_COPY} AND {_PIECE} AND {_IS_ACT} AND is_of_people GROUP BY site, opened, copy, began_day, session_id, value
    )
    GROUP BY site, opened, copy, first_day, began_day, value
    UNION ALL
    SELECT site, opened, copy, part_day, part_day, {{column}} AS value, 0, 0, 0, sumIf(events, {_IS_ACT} AND name = 'pageview'),
        sumIf(events, {_IS_ACT}), sumIf(events, NOT ({_IS_ACT}))
    FROM forebay.closed_acts
    WHERE {_ACTS_OF_COPY} AND {_PIECE}
    GROUP BY site, opened, copy, part_day, value
) AS a
GROUP BY site, opened, copy, part_day, began_day, value"""
ACT_SUMS = f"""
INSERT INTO forebay.closed_act_sums
    (site, column, opened, copy, part_day, began_day, value, visitors, leading, visits, pageviews, events, others)
{" UNION ALL ".join(_ACT_SUMS_OF.format(number=number, column=column or "''") for number, column in enumerate(ACT_COLUMNS))}
"""
# As REPEATS. A visitor of two local days of one copy is in its sums twice.
ACT_REPEATS = """
INSERT INTO forebay.closed_repeats (site, visitor)
SELECT site, visitor FROM forebay.closed_acts
WHERE site IN {sites:Array(String)} AND is_kept AND (site, visitor) IN (
    SELECT site, visitor FROM forebay.closed_acts
    WHERE site IN {sites:Array(String)} AND is_kept AND copy BETWEEN {copy:UInt64} AND {copy:UInt64} + 65535
)
GROUP BY site, visitor
HAVING min(opened) != max(opened) OR min(part_day) != max(part_day)
"""
# How many events a copy has of each day; 0 if its tables do not agree. Every session of the day has one row that is its beginning.
COPIED = f"""
SELECT site, day, if(min(events) = max(events) AND count() = {len(SETS) + len(ACT_COLUMNS) + 2}, any(events), 0), NOT max(has_long)
FROM (
    SELECT site, toUInt64(opened) AS day, sumIf(events, is_begin) AS events, 0 AS has_long FROM forebay.closed_visits
    WHERE site IN {{sites:Array(String)}} AND copy BETWEEN {{copy:UInt64}} AND {{copy:UInt64}} + 65535 GROUP BY site, day
    UNION ALL
    SELECT site, toUInt64(opened) AS day, sum(events) AS events, 0 AS has_long FROM forebay.closed_sums
    WHERE site IN {{sites:Array(String)}} AND copy BETWEEN {{copy:UInt64}} AND {{copy:UInt64}} + 65535 GROUP BY site, day, columns
    UNION ALL
    SELECT site, toUInt64(opened) AS day, sum(events) AS events, maxIf(session_id, NOT is_kept) != 0 AS has_long FROM forebay.closed_acts
    WHERE site IN {{sites:Array(String)}} AND copy BETWEEN {{copy:UInt64}} AND {{copy:UInt64}} + 65535 GROUP BY site, day
    UNION ALL
    SELECT site, toUInt64(opened) AS day, sum(events) + sum(others) AS events, 0 AS has_long FROM forebay.closed_act_sums
    WHERE site IN {{sites:Array(String)}} AND copy BETWEEN {{copy:UInt64}} AND {{copy:UInt64}} + 65535 GROUP BY site, day, column
)
GROUP BY site, day
"""
NOTE = """
INSERT INTO forebay.closed_days (site, opened, zone, made_of, lists, copy, has_acts, closed_at)
SELECT one.1, toDate(toUInt16(one.2)), {zone:String}, one.3, {lists:UInt64}, {copy:UInt64} + one.2, one.4, now64(3)
FROM (
    SELECT arrayJoin(arrayZip(
        {sites:Array(String)}, {days:Array(UInt64)}, {made_of:Array(UInt64)}, {have_acts:Array(UInt8)})) AS one
)
"""
NOW_LISTS = f"SELECT assumeNotNull({LISTS})"
# Copies that do not count, the oldest first: without a note, of other rows than there are now, or with a later copy of the same rows.
STALE = f"""
SELECT site, toUInt16(opened), copy
FROM ({" UNION DISTINCT ".join(_OF_TABLES)})
WHERE copy < {{before:UInt64}} AND (site, opened, copy) NOT IN (
    SELECT site, opened, max(copy) FROM forebay.closed_days
    WHERE (site, toUInt64(opened), made_of) IN (SELECT site, day, made_of FROM ({FINGERPRINTS} GROUP BY site, day))
    GROUP BY site, opened
)
ORDER BY copy, site, opened
LIMIT 1000
"""
ROWLESS = f"""
SELECT site, toUInt16(opened), copy FROM forebay.closed_days WHERE (site, opened, copy) NOT IN {_HELD} ORDER BY copy, site, opened LIMIT 1000
"""
_NAMED = (
    "(toString(site), toUInt16(opened), copy) IN"
    " (SELECT arrayJoin(arrayZip({sites:Array(String)}, {days:Array(UInt16)}, {copies:Array(UInt64)})))"
)
WITHDRAW = f"ALTER TABLE forebay.closed_days DELETE WHERE {_NAMED}"
# A copy's rows go after its note, so that no note is without rows; and its note goes again, for one that was written in between. A note
# that is written after that finds that its rows are gone (`Closing.close`).
SWEPT = (WITHDRAW, *(f"ALTER TABLE forebay.{table} DELETE WHERE {_NAMED}" for table in COPY_TABLES), WITHDRAW)
# Visitors whom no copy of the site has any more. Whoever was found to be on two days stays while a copy has a row of theirs.
_NOWHERE = """site = {site:String} AND visitor NOT IN (
    SELECT visitor FROM forebay.closed_visits
    WHERE site = {site:String} AND visitor IN (SELECT visitor FROM forebay.closed_repeats WHERE site = {site:String})
    UNION ALL
    SELECT visitor FROM forebay.closed_acts
    WHERE site = {site:String} AND is_kept AND visitor IN (SELECT visitor FROM forebay.closed_repeats WHERE site = {site:String})
)"""
REPEATING = "SELECT DISTINCT site FROM forebay.closed_repeats"
GONE = f"SELECT count() FROM forebay.closed_repeats WHERE {_NOWHERE}"
FORGET = f"ALTER TABLE forebay.closed_repeats DELETE WHERE {_NOWHERE}"
