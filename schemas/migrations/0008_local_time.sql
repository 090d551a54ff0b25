-- Right numbers in a site's own time, and two texts that take less.
--
-- `title` and `referrer` repeat: in the crowd of the bench they take 1 byte each as words of a dictionary, and 4 each as texts, and
-- an INSERT and a merge of them take half the CPU. Where nearly every row has another one they take 8 % more, and a merge of them 1.7
-- times the CPU. Parts that are there already are changed in the background (`alter_sync = 0`) and read as they are until then. This
-- ALTER comes first, because ClickHouse lets one that changes rows wait for every mutation before it. The views with `*` are made anew in
-- 0010.
ALTER TABLE forebay.events ${ON_CLUSTER}
    MODIFY COLUMN `title` LowCardinality(String),
    MODIFY COLUMN `referrer` LowCardinality(String)
SETTINGS alter_sync = 0;

ALTER TABLE forebay.probe ${ON_CLUSTER}
    MODIFY COLUMN `title` LowCardinality(String),
    MODIFY COLUMN `referrer` LowCardinality(String);

-- The projection `quarter_hours` counts by quarters of an hour and without paths, because every zone's offset has been a multiple of
-- 15 minutes since 2012 (tests/unit/schemas/test_quarter_hours.py), so each local day and hour is made of whole quarters. `toDate(ts)`
-- stands in it, at no cost, so that one filter prunes rows by the table's key and the projection by its own. Visitors are in no
-- projection, because their numbers can't be summed; visits are not, because a visit is more than one row.
--
-- Parts that are there already get it in the background, `mutations_sync = 0`: ClickHouse writes the order down, answers, and goes on with it after
-- a restart; until a part has it, its rows are counted when a query asks for them. Ordered twice, it finds nothing to do.
ALTER TABLE forebay.events ${ON_CLUSTER} ADD PROJECTION IF NOT EXISTS quarter_hours
(
    SELECT site, toDate(ts), toStartOfFifteenMinutes(ts), name, bot, currency, count(), sum(engaged_ms), sum(revenue)
    GROUP BY site, toDate(ts), toStartOfFifteenMinutes(ts), name, bot, currency
);

ALTER TABLE forebay.events ${ON_CLUSTER} MATERIALIZE PROJECTION quarter_hours SETTINGS mutations_sync = 0;

-- The views take site, timezone, since and until: local dates, both included. `first_day` and `last_day` are the UTC days that hold
-- their first and their last second, and prune by the key; which row counts is decided by its local date, so a midnight that is
-- missing or comes twice does not matter. Pages are counted from the projection `daily` for the whole UTC days in the range, from
-- `first_whole` to `last_whole`, and from rows for the rest of the first and the last.
--
-- What the numbers mean stands in docs/visits.md. A column that a query does not name is not computed: without visitors their branch is
-- answered from the projection too. This is why every branch groups by what the view groups by, and why no other branch has an aggregate that it lacks.
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
    WHERE e.site = {site:String} AND e.bot = '' AND e.name NOT IN ('engagement', 'vitals') AND toDate(e.ts) BETWEEN first_day AND last_day
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
    WHERE e.site = {site:String} AND e.bot = '' AND e.name NOT IN ('engagement', 'vitals') AND toDate(e.ts) BETWEEN first_day AND last_day
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
    WHERE e.site = {site:String} AND e.bot = '' AND e.name NOT IN ('engagement', 'vitals') AND toDate(e.ts) BETWEEN first_day AND last_day
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

-- A visit is one of v_sessions, and counts on the local day on which it began. Its session_id begins with a second that is not before
-- that, and is less than a day after it: this is what the key is read by.
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
