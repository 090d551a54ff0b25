-- title: Goals
-- answers: How many visitors reached each goal, how often, and how much money that brought in each currency. Goals are numbered from 1,
--   in the order of the site's record; `purchases` are the events with money, in each currency too.
-- leaves out: what looks automated, unless `bots` is 1; events that are no acts; goals that nobody reached. An event that fits
--   several goals counts for each.
-- parameters: site String, bots UInt8, first_day Date, last_day Date, zone String, since Date, until Date, before UInt32
-- columns: goal UInt32, visitors UInt64, conversions UInt64, revenue Map(String, Decimal(38, 4)),
--   purchases Map(String, UInt64)
-- dimensions: goals
-- filters: row
-- seconds: 10
-- example: site=hand.example zone=Asia/Kathmandu since=2026-03-01 until=2026-03-31
WITH /*dimension*/ [e.name = 'signup', e.name = 'purchase'] /*end*/ AS reached
SELECT
    goal,
    uniqExact(e.visitor_id) AS visitors,
    count() AS conversions,
    sumMapIf(map(toString(e.currency), e.revenue), e.currency != '') AS revenue,
    sumMapIf(map(toString(e.currency), toUInt64(1)), e.currency != '') AS purchases
FROM forebay.events AS e
ARRAY JOIN arrayFilter((number, is_reached) -> is_reached, arrayEnumerate(reached), reached) AS goal
WHERE e.site = {site:String} AND ({bots:UInt8} OR e.bot = '') AND toDate(e.ts) BETWEEN {first_day:Date} AND {last_day:Date}
    AND toDate(toStartOfFifteenMinutes(e.ts), {zone:String}) BETWEEN {since:Date} AND {until:Date}
    AND toStartOfFifteenMinutes(e.ts) < toDateTime({before:UInt32}, 'UTC')
    AND /*filter*/ 1 /*end*/
    AND e.name NOT IN ('engagement', 'vitals', 'identify', 'alias', 'group')
GROUP BY goal
ORDER BY goal
