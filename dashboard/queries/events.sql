-- title: Events by what they have
-- answers: How many visitors, visits, pageviews and events there were, by page, host name, name of the event, goal, property, or by
--   anything else that an event has. `everybody` are the visitors of all rows together, each once.
-- leaves out: what looks automated, unless `bots` is 1; events that are no acts. A visit counts where it has an event, if it began within
--   the period and none of its events looks automated.
-- parameters: bots UInt8, site String, first_day Date, last_day Date, begins UInt32, zone String, since Date, until Date, before UInt32, limit UInt32, offset UInt32
-- columns: d Dimension, visitors UInt64, everybody UInt64, visits UInt64, pageviews UInt64, events UInt64
-- dimensions: row
-- filters: row
-- seconds: 10
-- example: site=hand.example zone=Asia/Kathmandu since=2026-03-01 until=2026-03-31 limit=10 offset=0
WITH
    e.session_id NOT IN (
        SELECT b.session_id FROM forebay.events AS b
        WHERE b.site = {site:String} AND b.bot != '' AND toDate(b.ts) BETWEEN {first_day:Date} - 1 AND {last_day:Date} + 1
    ) AS is_of_people,
    e.session_id NOT IN (
        SELECT b.session_id FROM forebay.events AS b
        WHERE b.site = {site:String} AND b.ts < toDateTime({begins:UInt32}, 'UTC') AND toDate(b.ts) BETWEEN {first_day:Date} - 1 AND {first_day:Date}
    ) AS has_begun,
    uniqExactState(e.visitor_id) AS people
SELECT
    /*dimension*/ e.site /*end*/ AS d,
    finalizeAggregation(people) AS visitors,
    uniqExactMerge(people) OVER () AS everybody,
    uniqExactIf(e.session_id, ({bots:UInt8} OR is_of_people) AND has_begun) AS visits,
    countIf(e.name = 'pageview') AS pageviews,
    count() AS events
FROM forebay.events AS e
WHERE e.site = {site:String} AND ({bots:UInt8} OR e.bot = '') AND toDate(e.ts) BETWEEN {first_day:Date} AND {last_day:Date}
    AND toDate(toStartOfFifteenMinutes(e.ts), {zone:String}) BETWEEN {since:Date} AND {until:Date}
    AND toStartOfFifteenMinutes(e.ts) < toDateTime({before:UInt32}, 'UTC')
    AND /*filter*/ 1 /*end*/
    AND e.name NOT IN ('engagement', 'vitals', 'identify', 'alias', 'group')
GROUP BY d
ORDER BY /*order*/ visitors DESC, d /*end*/
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
