-- title: Visitors, visits, bounces and their duration
-- answers: How many people came, how often, how many left at once, and how long they stayed, by anything that a visit has.
--   `everybody` are the visitors of all rows together, each once.
-- leaves out: what looks automated, unless `bots` is 1 (`visitors` are of people in any case); sessions without an act.
-- parameters: site String, zone String, first_day Date, last_day Date, bots UInt8, first_session UInt64, end_session UInt64, since Date, until Date, before UInt32, limit UInt32, offset UInt32
-- columns: d Dimension, visitors UInt64, everybody UInt64, visits UInt64, bounces UInt64, exits UInt64, seconds Int64, pageviews UInt64, engaged_ms UInt64
-- dimensions: session
-- filters: session
-- seconds: 10
-- example: site=hand.example zone=Asia/Kathmandu since=2026-03-01 until=2026-03-31 limit=10 offset=0
WITH
    -- Days whose copy is true, because the rows are those of which it was made, their copies, and between which sessions all others are.
    (
        SELECT (groupArrayIf(f.day, n.copy != 0), groupArrayIf(n.copy, n.copy != 0),
            371085174374400 * minIf(f.day, n.copy = 0), 371085174374400 * (maxIf(f.day, n.copy = 0) + 1))
        FROM (
            SELECT intDiv(e.session_id, 371085174374400) AS day,
                cityHash64(count(), sum(cityHash64(e.session_id, e.ts, e.visitor_id, e.name, e.bot, e.engaged_ms))) AS made_of
            FROM forebay.events AS e WHERE e.site = {site:String} AND intDiv(e.session_id, 371085174374400)
                BETWEEN intDiv({first_session:UInt64}, 371085174374400) AND intDiv({end_session:UInt64}, 371085174374400) GROUP BY e.site, day
        ) AS f
        LEFT JOIN (
            SELECT toUInt64(c.opened) AS day, c.made_of AS made_of, max(c.copy) AS copy FROM forebay.closed_days AS c
            WHERE c.site = {site:String} AND c.zone = {zone:String} AND c.lists = (SELECT max(l.version) FROM forebay.source_index AS l)
            GROUP BY day, made_of
        ) AS n ON f.day = n.day AND f.made_of = n.made_of
    ) AS closed,
    -- A visit counts on the day on which it began. So do its visitors, but over midnight each counts on the day of what it did.
    s.is_begin AND s.is_visit AND ({bots:UInt8} OR s.bot = '') AS is_counted,
    (s.is_begin, s.part_at) AS part,
    -- Whoever is in one row alone of all days need not be compared with anybody.
    s.is_once AND s.visitor NOT IN (
        SELECT r.visitor FROM forebay.closed_repeats AS r WHERE r.site = {site:String}
        UNION ALL
        SELECT o.visitor_id FROM forebay.events AS o
        WHERE o.site = {site:String} AND o.session_id >= {first_session:UInt64} AND o.session_id < {end_session:UInt64}
            AND o.session_id >= closed.3 AND o.session_id < closed.4 AND NOT has(closed.1, intDiv(o.session_id, 371085174374400))
    ) AS is_alone,
    uniqExactIfState(s.visitor, s.visitor != 0 AND NOT is_alone) AS people
SELECT
    /*dimension*/ s.site /*end*/ AS d,
    countIf(is_alone) + finalizeAggregation(people) AS visitors,
    sum(countIf(is_alone)) OVER () + uniqExactIfMerge(people) OVER () AS everybody,
    countIf(is_counted) AS visits,
    sumIf(s.is_bounce, is_counted) AS bounces,
    -- The last page of a visit that went on after the period may have been seen only then.
    countIf(is_counted AND s.last_day <= {until:Date} AND s.last_active_at < toDateTime({before:UInt32}, 'UTC')) AS exits,
    sumIf(s.seconds, is_counted) AS seconds,
    sumIf(s.pageviews, is_counted) AS pageviews,
    sumIf(s.engaged_ms, is_counted) AS engaged_ms
FROM
(
    SELECT
        c.site AS site, c.session_id AS session_id, c.is_begin AS is_begin, c.part_day AS part_day, c.part_at AS part_at,
        c.visitor AS visitor, c.is_once AS is_once, c.bot AS bot, c.is_visit AS is_visit, c.last_day AS last_day,
        c.last_active_at AS last_active_at, c.seconds AS seconds, c.pageviews AS pageviews, c.engaged_ms AS engaged_ms,
        c.is_bounce AS is_bounce, c.entry_hostname AS entry_hostname, c.entry_path AS entry_path, c.exit_hostname AS exit_hostname,
        c.exit_path AS exit_path, c.referrer AS referrer, c.utm_source AS utm_source, c.utm_medium AS utm_medium,
        c.utm_campaign AS utm_campaign, c.utm_term AS utm_term, c.utm_content AS utm_content, c.country AS country, c.region AS region,
        c.city AS city, c.language AS language, c.browser AS browser, c.browser_version AS browser_version, c.os AS os,
        c.os_version AS os_version, c.device AS device, c.screen_class AS screen_class, c.source_name AS source_name,
        c.channel AS channel
    FROM forebay.closed_visits AS c
    WHERE c.site = {site:String} AND c.session_id >= {first_session:UInt64} AND c.session_id < {end_session:UInt64}
        AND c.opened BETWEEN {first_day:Date} - 1 AND {last_day:Date} + 1 AND has(closed.2, c.copy)
    UNION ALL
    SELECT
        v.site, v.session_id, p.1, toDate(p.2, {zone:String}), p.2, p.3, 0, toLowCardinality(v.bot), v.is_visit,
        toDate(v.last_active_at, {zone:String}), v.last_active_at, v.seconds, v.pageviews, v.engaged_ms, v.is_bounce,
        toLowCardinality(v.entry_hostname), toLowCardinality(v.entry_path), toLowCardinality(v.exit_hostname),
        toLowCardinality(v.exit_path), toLowCardinality(v.referrer), toLowCardinality(v.utm_source), toLowCardinality(v.utm_medium),
        toLowCardinality(v.utm_campaign), toLowCardinality(v.utm_term), toLowCardinality(v.utm_content), toLowCardinality(v.country),
        toLowCardinality(v.region), toLowCardinality(v.city), toLowCardinality(v.language), toLowCardinality(v.browser),
        toLowCardinality(v.browser_version), toLowCardinality(v.os), toLowCardinality(v.os_version), toLowCardinality(v.device),
        toLowCardinality(v.screen_class), /*names*/ toLowCardinality(''), toLowCardinality('') /*end*/
    FROM forebay.sessions AS v
    ARRAY JOIN if(
        v.first_visitor = v.last_visitor AND toDate(v.last_active_at, {zone:String}) = toDate(v.started_at, {zone:String}),
        [(1, v.started_at, v.first_visitor)],
        [(1, v.started_at, 0), (0, v.first_active_at, v.first_visitor), (0, v.last_active_at, v.last_visitor)]) AS p
    WHERE v.site = {site:String} AND v.session_id >= {first_session:UInt64} AND v.session_id < {end_session:UInt64}
        AND v.session_id >= closed.3 AND v.session_id < closed.4 AND NOT has(closed.1, intDiv(v.session_id, 371085174374400))
) AS s
WHERE s.part_day BETWEEN {since:Date} AND {until:Date} AND s.part_at < toDateTime({before:UInt32}, 'UTC')
    AND /*filter*/ 1 /*end*/
GROUP BY d
HAVING visitors > 0 OR visits > 0
ORDER BY /*order*/ visitors DESC, d /*end*/
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
