-- title: Pageviews and events
-- answers: How many pages were looked at, how many events there were, and how long pages were in use, by time or name of the event.
-- leaves out: what looks automated, unless `bots` is 1. `events` leaves out those that are no acts.
-- parameters: site String, bots UInt8, first_day Date, last_day Date, zone String, since Date, until Date, before UInt32
-- columns: d Dimension, pageviews UInt64, events UInt64, engaged_ms UInt64
-- dimensions: row
-- filters: row
-- seconds: 10
-- example: site=hand.example zone=Asia/Kathmandu since=2026-03-01 until=2026-03-31
SELECT
    a.d AS d,
    sumIf(a.n, a.name = 'pageview') AS pageviews,
    sumIf(a.n, a.name NOT IN ('engagement', 'vitals', 'identify', 'alias', 'group')) AS events,
    sum(a.engaged_ms) AS engaged_ms
FROM
(
    SELECT /*dimension*/ e.site /*end*/ AS d, e.name AS name, count() AS n, sum(e.engaged_ms) AS engaged_ms
    FROM forebay.events AS e
    WHERE e.site = {site:String} AND ({bots:UInt8} OR e.bot = '') AND toDate(e.ts) BETWEEN {first_day:Date} AND {last_day:Date}
        AND toDate(toStartOfFifteenMinutes(e.ts), {zone:String}) BETWEEN {since:Date} AND {until:Date}
        AND toStartOfFifteenMinutes(e.ts) < toDateTime({before:UInt32}, 'UTC')
        AND /*filter*/ 1 /*end*/
    GROUP BY d, name
) AS a
GROUP BY a.d
ORDER BY a.d
