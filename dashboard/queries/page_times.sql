-- title: Time on page and scroll depth
-- answers: How long pages were in use and how far people scrolled: `engaged_ms` and `scroll_pct` are sums over `views`, which are the visits
--   that looked at a page. Divided by them they are the time on page and the scroll depth.
-- leaves out: what looks automated, unless `bots` is 1, and then the whole visit; pages without a pageview in the period.
-- parameters: site String, bots UInt8, first_day Date, last_day Date, zone String, since Date, until Date, before UInt32, limit UInt32, offset UInt32
-- columns: d Dimension, views UInt64, pageviews UInt64, engaged_ms UInt64, scroll_pct UInt64
-- dimensions: row
-- filters: row
-- seconds: 30
-- example: site=hand.example zone=Asia/Kathmandu since=2026-03-01 until=2026-03-31 limit=10 offset=0
SELECT
    p.d AS d,
    countIf(p.pageviews > 0) AS views,
    sum(p.pageviews) AS pageviews,
    sum(p.engaged_ms) AS engaged_ms,
    sumIf(p.scroll_pct, p.pageviews > 0) AS scroll_pct
FROM
(
    SELECT
        e.session_id AS session_id,
        e.path AS path,
        /*dimension*/ e.site /*end*/ AS d,
        countIf(e.name = 'pageview') AS pageviews,
        sum(e.engaged_ms) AS engaged_ms,
        max(e.scroll_pct) AS scroll_pct
    FROM forebay.events AS e
    WHERE e.site = {site:String} AND ({bots:UInt8} OR e.bot = '') AND toDate(e.ts) BETWEEN {first_day:Date} AND {last_day:Date}
        AND toDate(toStartOfFifteenMinutes(e.ts), {zone:String}) BETWEEN {since:Date} AND {until:Date}
        AND toStartOfFifteenMinutes(e.ts) < toDateTime({before:UInt32}, 'UTC')
        AND /*filter*/ 1 /*end*/
    GROUP BY session_id, path, d
) AS p
WHERE {bots:UInt8} OR p.session_id NOT IN (
    SELECT b.session_id FROM forebay.events AS b
    WHERE b.site = {site:String} AND b.bot != '' AND toDate(b.ts) BETWEEN {first_day:Date} - 1 AND {last_day:Date} + 1
)
GROUP BY d
HAVING views > 0
ORDER BY /*order*/ pageviews DESC, d /*end*/
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
