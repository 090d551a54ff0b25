-- title: Visitors, visits, bounces and their duration
-- answers: How many people came, how often, how many left at once, and how long they stayed, by anything that a visit has.
--   `everybody` are the visitors of all rows together, each once.
-- leaves out: what looks automated, unless `bots` is 1 (`visitors` are of people in any case); sessions without an act.
-- parameters: bots UInt8, zone String, site String, first_session UInt64, end_session UInt64, since Date, until Date, before UInt32, limit UInt32, offset UInt32
-- columns: d Dimension, visitors UInt64, everybody UInt64, visits UInt64, bounces UInt64, exits UInt64, seconds Int64, pageviews UInt64, engaged_ms UInt64
-- dimensions: session
-- filters: session
-- seconds: 10
-- example: site=hand.example zone=Asia/Kathmandu since=2026-03-01 until=2026-03-31 limit=10 offset=0
WITH uniqExactIfState(s.visitor, s.visitor != 0) AS people
SELECT
    /*dimension*/ s.site /*end*/ AS d,
    -- Of copies (dashboard/catalogue/copies.py) most visitors are known to be in one row alone, and need not be compared.
    toUInt64(sum(s.alone) + finalizeAggregation(people)) AS visitors,
    toUInt64(sum(sum(s.alone)) OVER () + uniqExactIfMerge(people) OVER ()) AS everybody,
    sum(s.visits) AS visits,
    sum(s.bounces) AS bounces,
    -- The last page of a visit that went on after the period may have been seen only then.
    sumIf(s.visits, s.last_day <= {until:Date} AND s.last_active_at < toDateTime({before:UInt32}, 'UTC')) AS exits,
    sum(s.seconds) AS seconds,
    sum(s.pageviews) AS pageviews,
    sum(s.engaged_ms) AS engaged_ms
FROM
(
    /*parts:*/
    -- A visit counts on the day on which it began. So do its visitors, but over midnight each counts on the day of what it did.
    WITH p.1 AND v.is_visit AND ({bots:UInt8} OR v.bot = '') AS is_counted
    SELECT
        v.site AS site,
        v.session_id AS session_id,
        toDate(p.2, {zone:String}) AS part_day,
        p.2 AS part_at,
        toDate(v.last_active_at, {zone:String}) AS last_day,
        v.last_active_at AS last_active_at,
        p.3 AS visitor,
        toInt64(0) AS alone,
        toUInt64(is_counted) AS visits,
        if(is_counted, v.is_bounce, 0) AS bounces,
        if(is_counted, v.seconds, 0) AS seconds,
        if(is_counted, v.pageviews, 0) AS pageviews,
        if(is_counted, v.engaged_ms, 0) AS engaged_ms,
        toLowCardinality(v.entry_hostname) AS entry_hostname,
        toLowCardinality(v.entry_path) AS entry_path,
        toLowCardinality(v.exit_hostname) AS exit_hostname,
        toLowCardinality(v.exit_path) AS exit_path,
        toLowCardinality(v.source_name) AS source_name,
        toLowCardinality(v.channel) AS channel,
        toLowCardinality(v.referrer) AS referrer,
        toLowCardinality(v.utm_source) AS utm_source,
        toLowCardinality(v.utm_medium) AS utm_medium,
        toLowCardinality(v.utm_campaign) AS utm_campaign,
        toLowCardinality(v.utm_term) AS utm_term,
        toLowCardinality(v.utm_content) AS utm_content,
        toLowCardinality(v.country) AS country,
        toLowCardinality(v.region) AS region,
        toLowCardinality(v.city) AS city,
        toLowCardinality(v.language) AS language,
        toLowCardinality(v.browser) AS browser,
        toLowCardinality(v.browser_version) AS browser_version,
        toLowCardinality(v.os) AS os,
        toLowCardinality(v.os_version) AS os_version,
        toLowCardinality(v.device) AS device,
        toLowCardinality(v.screen_class) AS screen_class
    FROM forebay.named_sessions AS v
    ARRAY JOIN if(
        v.first_visitor = v.last_visitor AND toDate(v.last_active_at, {zone:String}) = toDate(v.started_at, {zone:String}),
        [(1, v.started_at, v.first_visitor)],
        [(1, v.started_at, 0), (0, v.first_active_at, v.first_visitor), (0, v.last_active_at, v.last_visitor)]) AS p
    WHERE v.site = {site:String} AND v.session_id >= {first_session:UInt64} AND v.session_id < {end_session:UInt64}
    /*:parts*/
) AS s
WHERE s.part_day BETWEEN {since:Date} AND {until:Date} AND s.part_at < toDateTime({before:UInt32}, 'UTC')
    AND /*filter*/ 1 /*end*/
GROUP BY d
HAVING visitors > 0 OR visits > 0
ORDER BY /*order*/ visitors DESC, d /*end*/
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
