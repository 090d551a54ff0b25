-- title: Events by what their visits have
-- answers: How many visitors, visits, pageviews and events there were by where their visits came from and which page they began or ended
--   with, together with anything that an event has. `everybody` are the visitors of all rows together, each once.
-- leaves out: what looks automated, unless `bots` is 1; events that are no acts. A visit counts where it has an event, if it began within
--   the period and none of its events looks automated.
-- parameters: bots UInt8, begins UInt32, site String, first_day Date, last_day Date, zone String, since Date, until Date, before UInt32, first_session UInt64, end_session UInt64, limit UInt32, offset UInt32
-- columns: d Dimension, visitors UInt64, everybody UInt64, visits UInt64, pageviews UInt64, events UInt64
-- dimensions: both
-- filters: row
-- seconds: 20
-- example: site=hand.example zone=Asia/Kathmandu since=2026-03-01 until=2026-03-31 limit=10 offset=0
WITH uniqExactArrayState(m.visitors) AS people
SELECT
    /*dimension*/ s.site /*end*/ AS d,
    finalizeAggregation(people) AS visitors,
    uniqExactArrayMerge(people) OVER () AS everybody,
    uniqExactIf(m.session_id, ({bots:UInt8} OR s.bot = '') AND s.started_at >= toDateTime({begins:UInt32}, 'UTC')) AS visits,
    sum(m.pageviews) AS pageviews,
    sum(m.events) AS events
FROM
(
    SELECT
        e.session_id AS session_id,
        /*rows*/ e.site /*end*/ AS r,
        groupUniqArray(e.visitor_id) AS visitors,
        countIf(e.name = 'pageview') AS pageviews,
        count() AS events
    FROM forebay.events AS e
    WHERE e.site = {site:String} AND ({bots:UInt8} OR e.bot = '') AND toDate(e.ts) BETWEEN {first_day:Date} AND {last_day:Date}
        AND toDate(toStartOfFifteenMinutes(e.ts), {zone:String}) BETWEEN {since:Date} AND {until:Date}
        AND toStartOfFifteenMinutes(e.ts) < toDateTime({before:UInt32}, 'UTC')
        AND /*filter*/ 1 /*end*/
        AND e.name NOT IN ('engagement', 'vitals', 'identify', 'alias', 'group')
    GROUP BY session_id, r
) AS m
INNER JOIN
(
    SELECT * FROM forebay.sessions AS s
    WHERE s.site = {site:String} AND s.session_id >= {first_session:UInt64} AND s.session_id < {end_session:UInt64} AND /*visits*/ 1 /*end*/
) AS s ON m.session_id = s.session_id
GROUP BY d
ORDER BY /*order*/ visitors DESC, d /*end*/
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
