-- title: Revenue
-- answers: How much money came in, in how many purchases and from how many visitors, in each currency.
-- leaves out: what looks automated, unless `bots` is 1; events without a currency. Sums of two currencies are never added up.
-- parameters: site String, bots UInt8, first_day Date, last_day Date, zone String, since Date, until Date, before UInt32
-- columns: d Dimension, currency LowCardinality(String), revenue Decimal(38, 4), purchases UInt64, buyers UInt64
-- dimensions: row
-- filters: row
-- seconds: 10
-- example: site=hand.example zone=Asia/Kathmandu since=2026-03-01 until=2026-03-31
SELECT
    /*dimension*/ e.site /*end*/ AS d,
    e.currency AS currency,
    sum(e.revenue) AS revenue,
    count() AS purchases,
    uniqExact(e.visitor) AS buyers
FROM
(
    /*acts:*/
    SELECT
        r.visitor_id AS visitor,
        r.currency AS currency,
        r.revenue AS revenue,
        r.site AS site,
        r.ts AS ts,
        r.session_id AS session_id,
        r.hostname AS hostname,
        r.path AS path,
        r.name AS name,
        r.props AS props,
        r.bot AS bot,
        r.bot_name AS bot_name,
        r.bot_purpose AS bot_purpose,
        r.country AS country,
        r.region AS region,
        r.city AS city,
        r.device AS device,
        r.screen_class AS screen_class,
        r.browser AS browser,
        r.browser_version AS browser_version,
        r.os AS os,
        r.os_version AS os_version,
        r.language AS language
    FROM forebay.events AS r
    WHERE r.site = {site:String} AND ({bots:UInt8} OR r.bot = '') AND toDate(r.ts) BETWEEN {first_day:Date} AND {last_day:Date}
        AND toDate(toStartOfFifteenMinutes(r.ts), {zone:String}) BETWEEN {since:Date} AND {until:Date}
        AND toStartOfFifteenMinutes(r.ts) < toDateTime({before:UInt32}, 'UTC')
        AND r.currency != ''
    /*:acts*/
) AS e
WHERE /*filter*/ 1 /*end*/
GROUP BY d, currency
ORDER BY d, currency
