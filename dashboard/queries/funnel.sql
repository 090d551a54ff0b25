-- title: Funnel
-- answers: How many visitors got how far: `level` is the number of steps that they took in their order, the last at most
--   `window_ms` after the first. Whoever took three steps took the first two as well, so step k is the sum of levels from k on.
-- leaves out: what looks automated, unless `bots` is 1; events that are no acts; visitors who did not take the first step. A visitor
--   is known for one local day, so steps on the next day do not count. Other events may stand between two steps, and an event that
--   fits two successive steps counts for both.
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
        AND e.name NOT IN ('engagement', 'vitals', 'identify', 'alias', 'group')
    GROUP BY e.visitor_id
) AS v
WHERE v.level > 0
GROUP BY level
ORDER BY level
