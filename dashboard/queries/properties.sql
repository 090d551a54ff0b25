-- title: Properties of an event
-- answers: Which properties events of this name have, how many events have each, and how many different values it has.
-- leaves out: what looks automated, unless `bots` is 1.
-- parameters: name String, site String, bots UInt8, first_day Date, last_day Date, zone String, since Date, until Date, before UInt32, limit UInt32, offset UInt32
-- columns: property String, events UInt64, values UInt64
-- dimensions: none
-- filters: row
-- seconds: 10
-- example: site=hand.example zone=Asia/Kathmandu since=2026-03-01 until=2026-03-31 name=purchase limit=10 offset=0
SELECT property, count() AS events, uniqExact(value) AS values
FROM forebay.events AS e
ARRAY JOIN mapKeys(e.props) AS property, mapValues(e.props) AS value
WHERE e.site = {site:String} AND ({bots:UInt8} OR e.bot = '') AND toDate(e.ts) BETWEEN {first_day:Date} AND {last_day:Date}
    AND toDate(toStartOfFifteenMinutes(e.ts), {zone:String}) BETWEEN {since:Date} AND {until:Date}
    AND toStartOfFifteenMinutes(e.ts) < toDateTime({before:UInt32}, 'UTC')
    AND /*filter*/ 1 /*end*/
    AND e.name = {name:String}
GROUP BY property
ORDER BY /*order*/ events DESC, property /*end*/
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
