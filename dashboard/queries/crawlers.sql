-- title: Crawlers
-- answers: Which crawlers came, what their purpose is, how many events they caused and how many different pages they saw. `purpose` is
--   how the purpose begins: `ai-` for AI crawlers, an empty text for all.
-- leaves out: people; programs that are on no list of crawlers, because nothing says what they are called.
-- parameters: purpose String, site String, first_day Date, last_day Date, zone String, since Date, until Date, before UInt32, limit UInt32, offset UInt32
-- columns: bot_purpose LowCardinality(String), bot_name LowCardinality(String), events UInt64, pages UInt64
-- dimensions: none
-- filters: row
-- seconds: 10
-- example: site=hand.example zone=Asia/Kathmandu since=2026-03-01 until=2026-03-31 purpose=ai- limit=10 offset=0
SELECT e.bot_purpose AS bot_purpose, e.bot_name AS bot_name, count() AS events, uniqExact(e.path) AS pages
FROM forebay.events AS e
WHERE e.site = {site:String} AND e.bot_name != '' AND toDate(e.ts) BETWEEN {first_day:Date} AND {last_day:Date}
    AND toDate(toStartOfFifteenMinutes(e.ts), {zone:String}) BETWEEN {since:Date} AND {until:Date}
    AND toStartOfFifteenMinutes(e.ts) < toDateTime({before:UInt32}, 'UTC')
    AND /*filter*/ 1 /*end*/
    AND startsWith(e.bot_purpose, {purpose:String})
GROUP BY bot_purpose, bot_name
ORDER BY /*order*/ events DESC, bot_name, bot_purpose /*end*/
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
