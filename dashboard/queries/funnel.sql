-- title: Funnel
-- answers: How many visitors got how far: `level` is the number of steps that they took in their order, the last at most
--   `window_ms` after the first. Whoever took three steps took the first two as well, so step k is the sum of levels from k on.
-- leaves out: what looks automated, unless `bots` is 1; engagement and vitals; visitors who did not take the first step. A visitor
--   is of one local day, so a funnel that somebody goes on with on the next day ends at midnight. Other events between two steps
--   do no harm, and an event that fits two steps that follow each other counts for both.
-- parameters: window_ms UInt64, site String, bots UInt8, first_day Date, last_day Date, zone String, since Date, until Date, before UInt32
-- columns: level UInt8, visitors UInt64
-- dimensions: steps
-- filters: row
-- seconds: 30
-- example: site=hand.example zone=Asia/Kathmandu since=2026-03-01 until=2026-03-31 window_ms=86400000
SELECT v.level AS level, count() AS visitors
FROM
(
    SELECT
        windowFunnel({window_ms:UInt64})(
            toUInt64(toUnixTimestamp64Milli(e.ts)), /*dimension*/ e.name = 'pageview', e.name = 'signup' /*end*/
        ) AS level
    FROM forebay.events AS e
    WHERE e.site = {site:String} AND ({bots:UInt8} OR e.bot = '') AND toDate(e.ts) BETWEEN {first_day:Date} AND {last_day:Date}
        AND toDate(toStartOfFifteenMinutes(e.ts), {zone:String}) BETWEEN {since:Date} AND {until:Date}
        AND toStartOfFifteenMinutes(e.ts) < toDateTime({before:UInt32}, 'UTC')
        AND /*filter*/ 1 /*end*/
        AND e.name NOT IN ('engagement', 'vitals')
    GROUP BY e.visitor_id
) AS v
WHERE v.level > 0
GROUP BY level
ORDER BY level
