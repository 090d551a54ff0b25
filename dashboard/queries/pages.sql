-- title: Pageviews by page
-- answers: How often each page was looked at: whole days of UTC from the projection `daily`, the rest of the first and the last day from
--   rows.
-- leaves out: what looks automated, unless `bots` is 1.
-- parameters: site String, bots UInt8, first_whole Date, last_whole Date, first_day Date, last_day Date, zone String, since Date, until Date, limit UInt32, offset UInt32
-- columns: d Dimension, pageviews UInt64
-- dimensions: page
-- filters: none
-- seconds: 10
-- example: site=hand.example zone=Asia/Kathmandu since=2026-03-01 until=2026-03-31 limit=10 offset=0
SELECT /*dimension*/ e.path /*end*/ AS d, sum(e.n) AS pageviews
FROM
(
    SELECT w.hostname AS hostname, w.path AS path, count() AS n
    FROM forebay.events AS w
    WHERE w.site = {site:String} AND ({bots:UInt8} OR w.bot = '') AND w.name = 'pageview'
        AND toDate(w.ts) BETWEEN {first_whole:Date} AND {last_whole:Date}
    GROUP BY hostname, path
    UNION ALL
    SELECT r.hostname AS hostname, r.path AS path, count() AS n
    FROM forebay.events AS r
    WHERE r.site = {site:String} AND ({bots:UInt8} OR r.bot = '') AND r.name = 'pageview'
        AND toDate(r.ts) BETWEEN {first_day:Date} AND {last_day:Date}
        AND (toDate(r.ts) < {first_whole:Date} OR toDate(r.ts) > {last_whole:Date})
        AND toDate(r.ts, {zone:String}) BETWEEN {since:Date} AND {until:Date}
    GROUP BY hostname, path
) AS e
GROUP BY d
ORDER BY /*order*/ pageviews DESC, d /*end*/
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
