-- title: Suggestions
-- answers: Which values there are that contain a text, in capitals or small letters, the most frequent first.
-- leaves out: what looks automated, unless `bots` is 1; engagement and vitals; what has no value.
-- parameters: text String, site String, bots UInt8, first_day Date, last_day Date, zone String, since Date, until Date, before UInt32, limit UInt32, offset UInt32
-- columns: d Dimension, events UInt64
-- dimensions: value
-- filters: row
-- seconds: 10
-- example: site=hand.example zone=Asia/Kathmandu since=2026-03-01 until=2026-03-31 text=pri limit=10 offset=0
SELECT /*dimension*/ e.path /*end*/ AS d, count() AS events
FROM forebay.events AS e
WHERE e.site = {site:String} AND ({bots:UInt8} OR e.bot = '') AND toDate(e.ts) BETWEEN {first_day:Date} AND {last_day:Date}
    AND toDate(toStartOfFifteenMinutes(e.ts), {zone:String}) BETWEEN {since:Date} AND {until:Date}
    AND toStartOfFifteenMinutes(e.ts) < toDateTime({before:UInt32}, 'UTC')
    AND /*filter*/ 1 /*end*/
    AND e.name NOT IN ('engagement', 'vitals')
GROUP BY d
HAVING d != '' AND ({text:String} = '' OR positionCaseInsensitiveUTF8(d, {text:String}) > 0)
ORDER BY /*order*/ events DESC, d /*end*/
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
