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
WITH
    -- Parts of a visit: its beginning (1), over midnight each of its visitors (0), and each purchase (2).
    part.1 = 1 AND s.is_visit AND ({bots:UInt8} OR s.bot = '') AS is_counted
SELECT
    s.utm_source AS utm_source,
    s.utm_medium AS utm_medium,
    s.utm_campaign AS utm_campaign,
    uniqExactIf(part.3, part.3 != 0) AS visitors,
    countIf(is_counted) AS visits,
    sumIf(s.is_bounce, is_counted) AS bounces,
    sumMapIf(map(part.4, part.5), part.1 = 2) AS revenue
FROM forebay.sessions AS s
LEFT JOIN
(
    SELECT e.session_id AS session_id, groupArray((e.ts, toString(e.currency), e.revenue)) AS purchases
    FROM forebay.events AS e
    WHERE e.site = {site:String} AND ({bots:UInt8} OR e.bot = '') AND toDate(e.ts) BETWEEN {first_day:Date} AND {last_day:Date}
        AND e.currency != ''
    GROUP BY session_id
) AS m ON m.session_id = s.session_id
ARRAY JOIN arrayConcat(
    if(
        s.first_visitor = s.last_visitor AND toDate(s.last_active_at, {zone:String}) = toDate(s.started_at, {zone:String}),
        [(1, s.started_at, s.first_visitor, '', toDecimal64(0, 4))],
        [(1, s.started_at, 0, '', toDecimal64(0, 4)), (0, s.first_active_at, s.first_visitor, '', toDecimal64(0, 4)),
            (0, s.last_active_at, s.last_visitor, '', toDecimal64(0, 4))]),
    arrayMap(purchase -> (2, purchase.1, toUInt64(0), purchase.2, purchase.3), m.purchases)) AS part
WHERE s.site = {site:String} AND s.session_id >= {first_session:UInt64} AND s.session_id < {end_session:UInt64}
    AND toDate(part.2, {zone:String}) BETWEEN {since:Date} AND {until:Date} AND part.2 < toDateTime({before:UInt32}, 'UTC')
    AND (s.utm_source, s.utm_medium, s.utm_campaign) != ('', '', '')
    AND s.session_id IN (
        SELECT u.session_id FROM forebay.events AS u
        WHERE u.site = {site:String} AND toDate(u.ts) BETWEEN {first_day:Date} - 1 AND {last_day:Date} + 1
            AND (u.utm_source != '' OR u.utm_medium != '' OR u.utm_campaign != '')
    )
    AND /*filter*/ 1 /*end*/
GROUP BY utm_source, utm_medium, utm_campaign
HAVING visitors > 0 OR visits > 0 OR notEmpty(revenue)
ORDER BY /*order*/ visitors DESC, utm_source, utm_medium, utm_campaign /*end*/
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
