-- title: Visitors, visits, bounces and their duration
-- answers: How many people came, how often, how many left at once, and how long they stayed, by anything that a visit has.
--   `everybody` are the visitors of all rows together, each once.
-- leaves out: what looks automated, unless `bots` is 1 (`visitors` are of people in any case); sessions without an act.
-- parameters: zone String, since Date, until Date, bots UInt8, site String, first_session UInt64, end_session UInt64, before UInt32, limit UInt32, offset UInt32
-- columns: d Dimension, visitors UInt64, everybody UInt64, visits UInt64, bounces UInt64, exits UInt64, seconds Int64, pageviews UInt64, engaged_ms UInt64
-- dimensions: session
-- filters: session
-- seconds: 10
-- example: site=hand.example zone=Asia/Kathmandu since=2026-03-01 until=2026-03-31 limit=10 offset=0
WITH
    -- A visit counts on the day on which it began. So do its visitors, but over midnight each counts on the day of what it did.
    part.1 AND s.is_visit AND ({bots:UInt8} OR s.bot = '') AS is_counted,
    uniqExactIfState(part.3, part.3 != 0) AS people
SELECT
    /*dimension*/ s.site /*end*/ AS d,
    finalizeAggregation(people) AS visitors,
    uniqExactIfMerge(people) OVER () AS everybody,
    countIf(is_counted) AS visits,
    sumIf(s.is_bounce, is_counted) AS bounces,
    -- The last page of a visit that went on after the period may have been seen only then.
    countIf(is_counted AND toDate(s.last_active_at, {zone:String}) <= {until:Date} AND s.last_active_at < toDateTime({before:UInt32}, 'UTC')) AS exits,
    sumIf(s.seconds, is_counted) AS seconds,
    sumIf(s.pageviews, is_counted) AS pageviews,
    sumIf(s.engaged_ms, is_counted) AS engaged_ms
FROM forebay.sessions AS s
ARRAY JOIN if(
    s.first_visitor = s.last_visitor AND toDate(s.last_active_at, {zone:String}) = toDate(s.started_at, {zone:String}),
    [(1, s.started_at, s.first_visitor)],
    [(1, s.started_at, 0), (0, s.first_active_at, s.first_visitor), (0, s.last_active_at, s.last_visitor)]) AS part
WHERE s.site = {site:String} AND s.session_id >= {first_session:UInt64} AND s.session_id < {end_session:UInt64}
    AND toDate(part.2, {zone:String}) BETWEEN {since:Date} AND {until:Date} AND part.2 < toDateTime({before:UInt32}, 'UTC')
    AND /*filter*/ 1 /*end*/
GROUP BY d
HAVING visitors > 0 OR visits > 0
ORDER BY /*order*/ visitors DESC, d /*end*/
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
