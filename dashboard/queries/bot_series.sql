-- title: People and bots
-- answers: How many pageviews were people's, and how many were bots'.
-- leaves out: everything but pageviews.
-- parameters: site String, first_day Date, last_day Date, zone String, since Date, until Date, before UInt32
-- columns: d Dimension, people UInt64, bots UInt64
-- dimensions: row
-- filters: row
-- seconds: 10
-- example: site=hand.example zone=Asia/Kathmandu since=2026-03-01 until=2026-03-31
SELECT a.d AS d, sumIf(a.n, a.bot = '') AS people, sumIf(a.n, a.bot != '') AS bots
FROM
(
    SELECT /*dimension*/ e.site /*end*/ AS d, e.bot AS bot, count() AS n
    FROM forebay.events AS e
    WHERE e.site = {site:String} AND toDate(e.ts) BETWEEN {first_day:Date} AND {last_day:Date}
        AND toDate(toStartOfFifteenMinutes(e.ts), {zone:String}) BETWEEN {since:Date} AND {until:Date}
        AND toStartOfFifteenMinutes(e.ts) < toDateTime({before:UInt32}, 'UTC')
        AND /*filter*/ 1 /*end*/
        AND e.name = 'pageview'
    GROUP BY d, bot
) AS a
GROUP BY a.d
ORDER BY a.d
