-- Counts in a site's own time zone, and a smaller form of two columns. Decision 0032 has the reasons.
--
-- Values of `title` and `referrer` repeat: in the crowd of the bench each takes 1 byte as a word of a dictionary (LowCardinality) and 4 as
-- a text, and an INSERT and a merge take half the CPU for them. Where nearly every row has a value of its own, they take 8 % more, and a
-- merge takes 1.7 times the CPU. ClickHouse changes the parts that are there in the background (`alter_sync = 0`), and reads them as they
-- are until then. This statement comes first, because ClickHouse makes an ALTER that changes rows wait for every mutation before it.
-- Migration 0010 makes the views anew that have all columns (`*`).
ALTER TABLE forebay.events ${ON_CLUSTER}
    MODIFY COLUMN `title` LowCardinality(String),
    MODIFY COLUMN `referrer` LowCardinality(String)
SETTINGS alter_sync = 0;

ALTER TABLE forebay.probe ${ON_CLUSTER}
    MODIFY COLUMN `title` LowCardinality(String),
    MODIFY COLUMN `referrer` LowCardinality(String);

-- The projection `quarter_hours` counts by quarters of an hour: since 2012 the offset of every zone has been a multiple of 15 minutes
-- (tests/unit/schemas/test_quarter_hours.py), so each local day and hour is made of whole quarters. It also has `toDate(ts)`, at no cost,
-- so that one condition prunes both the rows, by the table's key, and the projection. Visitors are in no projection, because their
-- numbers can't be summed, and visits are in none, because a visit is more than one row.
--
-- ClickHouse adds the projection to the parts that are there in the background (`mutations_sync = 0`): it notes the order, answers, and
-- goes on after a restart. Until a part has the projection, its rows are counted when a query asks. A second order finds nothing to do.
ALTER TABLE forebay.events ${ON_CLUSTER} ADD PROJECTION IF NOT EXISTS quarter_hours
(
    SELECT site, toDate(ts), toStartOfFifteenMinutes(ts), name, bot, currency, count(), sum(engaged_ms), sum(revenue)
    GROUP BY site, toDate(ts), toStartOfFifteenMinutes(ts), name, bot, currency
);

ALTER TABLE forebay.events ${ON_CLUSTER} MATERIALIZE PROJECTION quarter_hours SETTINGS mutations_sync = 0;

-- The views have four arguments: site, timezone, and the local dates since and until, both included. docs/visits.md says what the
-- numbers mean. All views have two expressions and one condition in common, and tests/unit/schemas/test_local_views.py keeps them equal:
--
--     first_day, last_day   the UTC days that hold the first and the last second of the range. They only prune by the key
--     the local date        decides whether a row counts, so a midnight that is missing or comes twice does not matter
--
-- Each view is a UNION of branches: the counts, which the projection answers; the visitors, which are counted from rows; and a row of
-- zeros for each day or hour. A column that a query does not name is not computed. So if a query does not ask for visitors, the
-- projection answers their branch as well. That is why each branch groups by the columns that the view groups by, and why the branch of
-- visitors alone has an aggregate that the projection lacks.
CREATE OR REPLACE VIEW forebay.local_days ${ON_CLUSTER} AS
WITH
    toDate(greatest(toDate32(toTimeZone(toDateTime64({since:Date}, 0, {timezone:String}), 'UTC')), toDate32('1970-01-01'))) AS first_day,
    toDate(least(toDate32(toTimeZone(toDateTime64(toDate32({until:Date}) + 1, 0, {timezone:String}) - INTERVAL 1 SECOND, 'UTC')), toDate32('2149-06-06'))) AS last_day
SELECT
    a.day AS day,
    sumIf(a.n, a.name = 'pageview') AS pageviews,
    sum(a.n) AS events,
    sum(a.visitors) AS visitors,
    sum(a.engaged_ms) AS engaged_ms
FROM
(
    SELECT
        toDate(toStartOfFifteenMinutes(e.ts), {timezone:String}) AS day,
        e.name AS name,
        count() AS n,
        0 AS visitors,
        sum(e.engaged_ms) AS engaged_ms
    FROM forebay.events AS e
    WHERE e.site = {site:String} AND e.bot = '' AND toDate(e.ts) BETWEEN first_day AND last_day
        AND toDate(toStartOfFifteenMinutes(e.ts), {timezone:String}) BETWEEN {since:Date} AND {until:Date}
    GROUP BY day, name
    UNION ALL
    SELECT
        toDate(toStartOfFifteenMinutes(e.ts), {timezone:String}) AS day,
        '' AS name,
        0 AS n,
        uniqExact(e.visitor_id) AS visitors,
        0 AS engaged_ms
    FROM forebay.events AS e
    WHERE e.site = {site:String} AND e.bot = '' AND e.name NOT IN ('engagement', 'vitals', 'identify', 'alias', 'group') AND toDate(e.ts) BETWEEN first_day AND last_day
        AND toDate(toStartOfFifteenMinutes(e.ts), {timezone:String}) BETWEEN {since:Date} AND {until:Date}
    GROUP BY day
    UNION ALL
    SELECT {since:Date} + number AS day, '' AS name, 0 AS n, 0 AS visitors, 0 AS engaged_ms
    FROM numbers(toUInt64(greatest(0, dateDiff('day', {since:Date}, {until:Date}) + 1)))
) AS a
GROUP BY a.day
COMMENT 'A site by local day. Arguments: site, timezone, since, until (local dates, both included). People only';

CREATE OR REPLACE VIEW forebay.local_hours ${ON_CLUSTER} AS
WITH
    toDate(greatest(toDate32(toTimeZone(toDateTime64({since:Date}, 0, {timezone:String}), 'UTC')), toDate32('1970-01-01'))) AS first_day,
    toDate(least(toDate32(toTimeZone(toDateTime64(toDate32({until:Date}) + 1, 0, {timezone:String}) - INTERVAL 1 SECOND, 'UTC')), toDate32('2149-06-06'))) AS last_day
SELECT
    a.hour AS hour,
    sumIf(a.n, a.name = 'pageview') AS pageviews,
    sum(a.n) AS events,
    sum(a.visitors) AS visitors,
    sum(a.engaged_ms) AS engaged_ms
FROM
(
    SELECT
        toStartOfHour(toTimeZone(toStartOfFifteenMinutes(e.ts), {timezone:String})) AS hour,
        e.name AS name,
        count() AS n,
        0 AS visitors,
        sum(e.engaged_ms) AS engaged_ms
    FROM forebay.events AS e
    WHERE e.site = {site:String} AND e.bot = '' AND toDate(e.ts) BETWEEN first_day AND last_day
        AND toDate(toStartOfFifteenMinutes(e.ts), {timezone:String}) BETWEEN {since:Date} AND {until:Date}
    GROUP BY hour, name
    UNION ALL
    SELECT
        toStartOfHour(toTimeZone(toStartOfFifteenMinutes(e.ts), {timezone:String})) AS hour,
        '' AS name,
        0 AS n,
        uniqExact(e.visitor_id) AS visitors,
        0 AS engaged_ms
    FROM forebay.events AS e
    WHERE e.site = {site:String} AND e.bot = '' AND e.name NOT IN ('engagement', 'vitals', 'identify', 'alias', 'group') AND toDate(e.ts) BETWEEN first_day AND last_day
        AND toDate(toStartOfFifteenMinutes(e.ts), {timezone:String}) BETWEEN {since:Date} AND {until:Date}
    GROUP BY hour
    UNION ALL
    SELECT toStartOfHour(toTimeZone(quarter, {timezone:String})) AS hour, '' AS name, 0 AS n, 0 AS visitors, 0 AS engaged_ms
    FROM (SELECT toDateTime(first_day, 'UTC') + 900 * number AS quarter FROM numbers(toUInt64(greatest(0, 96 * (dateDiff('day', first_day, last_day) + 1)))))
    WHERE toDate(quarter, {timezone:String}) BETWEEN {since:Date} AND {until:Date}
) AS a
GROUP BY a.hour
COMMENT 'A site by local hour. Arguments: site, timezone, since, until (local dates, both included). People only';

CREATE OR REPLACE VIEW forebay.local_totals ${ON_CLUSTER} AS
WITH
    toDate(greatest(toDate32(toTimeZone(toDateTime64({since:Date}, 0, {timezone:String}), 'UTC')), toDate32('1970-01-01'))) AS first_day,
    toDate(least(toDate32(toTimeZone(toDateTime64(toDate32({until:Date}) + 1, 0, {timezone:String}) - INTERVAL 1 SECOND, 'UTC')), toDate32('2149-06-06'))) AS last_day
SELECT
    a.site AS site,
    sumIf(a.n, a.name = 'pageview') AS pageviews,
    sum(a.n) AS events,
    sum(a.visitors) AS visitors,
    sum(a.engaged_ms) AS engaged_ms
FROM
(
    SELECT
        e.site AS site,
        e.name AS name,
        count() AS n,
        0 AS visitors,
        sum(e.engaged_ms) AS engaged_ms
    FROM forebay.events AS e
    WHERE e.site = {site:String} AND e.bot = '' AND toDate(e.ts) BETWEEN first_day AND last_day
        AND toDate(toStartOfFifteenMinutes(e.ts), {timezone:String}) BETWEEN {since:Date} AND {until:Date}
    GROUP BY site, name
    UNION ALL
    SELECT
        e.site AS site,
        '' AS name,
        0 AS n,
        uniqExact(e.visitor_id) AS visitors,
        0 AS engaged_ms
    FROM forebay.events AS e
    WHERE e.site = {site:String} AND e.bot = '' AND e.name NOT IN ('engagement', 'vitals', 'identify', 'alias', 'group') AND toDate(e.ts) BETWEEN first_day AND last_day
        AND toDate(toStartOfFifteenMinutes(e.ts), {timezone:String}) BETWEEN {since:Date} AND {until:Date}
    GROUP BY site
    UNION ALL
    SELECT {site:String} AS site, '' AS name, 0 AS n, 0 AS visitors, 0 AS engaged_ms
) AS a
GROUP BY a.site
COMMENT 'A site over a range of local days. Arguments: site, timezone, since, until (local dates, both included). People only';

CREATE OR REPLACE VIEW forebay.local_revenue ${ON_CLUSTER} AS
WITH
    toDate(greatest(toDate32(toTimeZone(toDateTime64({since:Date}, 0, {timezone:String}), 'UTC')), toDate32('1970-01-01'))) AS first_day,
    toDate(least(toDate32(toTimeZone(toDateTime64(toDate32({until:Date}) + 1, 0, {timezone:String}) - INTERVAL 1 SECOND, 'UTC')), toDate32('2149-06-06'))) AS last_day
SELECT
    toDate(toStartOfFifteenMinutes(e.ts), {timezone:String}) AS day,
    e.currency AS currency,
    sum(e.revenue) AS revenue,
    count() AS events
FROM forebay.events AS e
WHERE e.site = {site:String} AND e.bot = '' AND toDate(e.ts) BETWEEN first_day AND last_day
    AND toDate(toStartOfFifteenMinutes(e.ts), {timezone:String}) BETWEEN {since:Date} AND {until:Date}
    AND e.currency != ''
GROUP BY day, currency
COMMENT 'Money of a site by local day and currency. Arguments: site, timezone, since, until (local dates, both included). People only';

-- Pages are counted from the projection `daily` for the whole UTC days of the range (`first_whole` to `last_whole`), and from rows for
-- the rest of its first and its last day.
CREATE OR REPLACE VIEW forebay.local_pages ${ON_CLUSTER} AS
WITH
    toDate(greatest(toDate32(toTimeZone(toDateTime64({since:Date}, 0, {timezone:String}), 'UTC')), toDate32('1970-01-01'))) AS first_day,
    toDate(least(toDate32(toTimeZone(toDateTime64(toDate32({until:Date}) + 1, 0, {timezone:String}) - INTERVAL 1 SECOND, 'UTC')), toDate32('2149-06-06'))) AS last_day,
    first_day + (toDate(toDateTime64(first_day, 0, 'UTC'), {timezone:String}) < {since:Date}) AS first_whole,
    last_day - (toDate(toDateTime64(last_day, 0, 'UTC') + INTERVAL 86399 SECOND, {timezone:String}) > {until:Date}) AS last_whole
SELECT
    a.hostname AS hostname,
    a.path AS path,
    sumIf(a.n, a.name = 'pageview') AS pageviews,
    sum(a.n) AS events,
    sum(a.engaged_ms) AS engaged_ms
FROM
(
    SELECT e.hostname AS hostname, e.path AS path, e.name AS name, count() AS n, sum(e.engaged_ms) AS engaged_ms
    FROM forebay.events AS e
    WHERE e.site = {site:String} AND e.bot = '' AND toDate(e.ts) BETWEEN first_whole AND last_whole
    GROUP BY hostname, path, name
    UNION ALL
    SELECT e.hostname AS hostname, e.path AS path, e.name AS name, count() AS n, sum(e.engaged_ms) AS engaged_ms
    FROM forebay.events AS e
    WHERE e.site = {site:String} AND e.bot = '' AND toDate(e.ts) BETWEEN first_day AND last_day
        AND (toDate(e.ts) < first_whole OR toDate(e.ts) > last_whole)
        AND toDate(e.ts, {timezone:String}) BETWEEN {since:Date} AND {until:Date}
    GROUP BY hostname, path, name
) AS a
GROUP BY a.hostname, a.path
COMMENT 'Pages of a site over a range of local days. Arguments: site, timezone, since, until (local dates, both included). People only';

-- A visit is a row of v_sessions, and counts on the local day on which it began. The upper half of its session_id is a unix second that
-- is not before that moment and less than a day after it, so a range of session_id prunes by the key.
CREATE OR REPLACE VIEW forebay.local_visits ${ON_CLUSTER} AS
WITH
    greatest(0, toUnixTimestamp64Milli(toDateTime64({since:Date}, 3, {timezone:String}))) AS first_ms,
    least(4294967295000, toUnixTimestamp64Milli(toDateTime64(toDate32({until:Date}) + 2, 3, {timezone:String}))) AS end_ms
SELECT
    a.day AS day,
    sum(a.visits) AS visits,
    sum(a.bounces) AS bounces,
    sum(a.pageviews) AS pageviews,
    sum(a.seconds) AS seconds,
    sum(a.engaged_ms) AS engaged_ms
FROM
(
    SELECT
        toDate(s.started_at, {timezone:String}) AS day,
        1 AS visits,
        s.is_bounce AS bounces,
        s.pageviews AS pageviews,
        s.seconds AS seconds,
        s.engaged_ms AS engaged_ms
    FROM forebay.v_sessions AS s
    WHERE s.site = {site:String} AND toDate(s.started_at, {timezone:String}) BETWEEN {since:Date} AND {until:Date}
        AND s.session_id >= bitShiftLeft(toUInt64(intDiv(first_ms, 1000)), 32)
        AND s.session_id < bitShiftLeft(toUInt64(intDiv(end_ms, 1000)), 32)
    UNION ALL
    SELECT {since:Date} + number AS day, 0 AS visits, 0 AS bounces, 0 AS pageviews, 0 AS seconds, 0 AS engaged_ms
    FROM numbers(toUInt64(greatest(0, dateDiff('day', {since:Date}, {until:Date}) + 1)))
) AS a
GROUP BY a.day
COMMENT 'Visits of a site by the local day on which they began. Arguments: site, timezone, since, until (local dates, both included). People only';
