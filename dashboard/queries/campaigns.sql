-- title: Campaigns with money
-- answers: How many people came by each campaign, how often, how many left at once, and what its visits brought in, in each currency.
-- leaves out: what looks automated, unless `bots` is 1 (`visitors` are of people in any case); visits whose first page had no
--   utm_source, utm_medium or utm_campaign. Money of a visit that began before the period counts without the visit.
-- parameters: zone String, bots UInt8, site String, first_day Date, last_day Date, first_session UInt64, end_session UInt64,
--   since Date, until Date, before UInt32, limit UInt32, offset UInt32
-- columns: utm_source String, utm_medium String, utm_campaign String, visitors UInt64, visits UInt64, bounces UInt64,
--   revenue Map(String, Decimal(38, 4))
-- dimensions: none
-- filters: session
-- seconds: 10
-- example: site=hand.example zone=Asia/Kathmandu since=2026-03-01 until=2026-03-31 limit=10 offset=0
SELECT
    m.utm_source AS utm_source,
    m.utm_medium AS utm_medium,
    m.utm_campaign AS utm_campaign,
    sum(m.visitors) AS visitors,
    sum(m.visits) AS visits,
    sum(m.bounces) AS bounces,
    sumMap(m.revenue) AS revenue
FROM
(
    SELECT s.utm_source AS utm_source, s.utm_medium AS utm_medium, s.utm_campaign AS utm_campaign,
        toUInt64(sum(s.alone) + uniqExactIf(s.visitor, s.visitor != 0)) AS visitors, sum(s.visits) AS visits, sum(s.bounces) AS bounces,
        CAST(map(), 'Map(String, Decimal(38, 4))') AS revenue
    FROM
    (
        /*parts:*/
        -- As in visits.sql.
        WITH p.1 AND v.is_visit AND ({bots:UInt8} OR v.bot = '') AS is_counted
        SELECT
            v.site AS site,
            v.session_id AS session_id,
            toDate(p.2, {zone:String}) AS part_day,
            p.2 AS part_at,
            p.3 AS visitor,
            toInt64(0) AS alone,
            toUInt64(is_counted) AS visits,
            if(is_counted, v.is_bounce, 0) AS bounces,
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
            /*sooner:*/
            AND v.session_id IN (
                SELECT u.session_id FROM forebay.events AS u
                WHERE u.site = {site:String} AND u.session_id >= {first_session:UInt64} AND u.session_id < {end_session:UInt64}
                    AND (u.utm_source != '' OR u.utm_medium != '' OR u.utm_campaign != '')
            )
            /*:sooner*/
        /*:parts*/
    ) AS s
    WHERE s.part_day BETWEEN {since:Date} AND {until:Date} AND s.part_at < toDateTime({before:UInt32}, 'UTC')
        AND (s.utm_source, s.utm_medium, s.utm_campaign) != ('', '', '') AND /*filter*/ 1 /*end*/
    GROUP BY utm_source, utm_medium, utm_campaign
    UNION ALL
    SELECT v.utm_source, v.utm_medium, v.utm_campaign, 0, 0, 0, map(toString(e.currency), sum(e.revenue))
    FROM
    (
        /*acts:*/
        SELECT
            r.session_id AS session_id,
            r.currency AS currency,
            r.revenue AS revenue,
            r.ts AS ts
        FROM forebay.events AS r
        WHERE r.site = {site:String} AND ({bots:UInt8} OR r.bot = '') AND toDate(r.ts) BETWEEN {first_day:Date} AND {last_day:Date}
            AND toDate(toStartOfFifteenMinutes(r.ts), {zone:String}) BETWEEN {since:Date} AND {until:Date}
            AND toStartOfFifteenMinutes(r.ts) < toDateTime({before:UInt32}, 'UTC')
            AND r.currency != ''
        /*:acts*/
    ) AS e
    INNER JOIN
    (
        /*visits:*/
        SELECT s.session_id AS session_id, s.utm_source AS utm_source, s.utm_medium AS utm_medium, s.utm_campaign AS utm_campaign
        FROM forebay.sessions AS s
        WHERE s.site = {site:String} AND s.session_id >= {first_session:UInt64} AND s.session_id < {end_session:UInt64}
            AND (s.utm_source, s.utm_medium, s.utm_campaign) != ('', '', '') AND /*visits*/ 1 /*end*/
            /*sooner:*/
            AND s.session_id IN (
                SELECT u.session_id FROM forebay.events AS u
                WHERE u.site = {site:String} AND u.session_id >= {first_session:UInt64} AND u.session_id < {end_session:UInt64} AND u.currency != ''
            )
            /*:sooner*/
        /*:visits*/
    ) AS v ON v.session_id = e.session_id
    WHERE /*moments*/ 1 /*end*/
    GROUP BY v.utm_source, v.utm_medium, v.utm_campaign, e.currency
) AS m
GROUP BY utm_source, utm_medium, utm_campaign
HAVING visitors > 0 OR visits > 0 OR notEmpty(revenue)
ORDER BY /*order*/ visitors DESC, utm_source, utm_medium, utm_campaign /*end*/
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
