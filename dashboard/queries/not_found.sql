-- title: Pages that were not found
-- answers: Which addresses ended on a page that was not there, and which page led to them.
-- leaves out: what looks automated, unless `bots` is 1; missing pages that the site does not report with an event `404`. The path is the
--   event's property `path`, or the path of its URL where it has none.
-- parameters: site String, bots UInt8, first_day Date, last_day Date, zone String, since Date, until Date, before UInt32, limit UInt32, offset UInt32
-- columns: path String, referrer LowCardinality(String), visitors UInt64, events UInt64
-- dimensions: none
-- filters: row
-- seconds: 10
-- example: site=hand.example zone=Asia/Kathmandu since=2026-03-01 until=2026-03-31 limit=10 offset=0
SELECT
    if(e.props['path'] = '', e.path, e.props['path']) AS path,
    e.referrer AS referrer,
    uniqExact(e.visitor_id) AS visitors,
    count() AS events
FROM forebay.events AS e
WHERE e.site = {site:String} AND ({bots:UInt8} OR e.bot = '') AND toDate(e.ts) BETWEEN {first_day:Date} AND {last_day:Date}
    AND toDate(toStartOfFifteenMinutes(e.ts), {zone:String}) BETWEEN {since:Date} AND {until:Date}
    AND toStartOfFifteenMinutes(e.ts) < toDateTime({before:UInt32}, 'UTC')
    AND /*filter*/ 1 /*end*/
    AND e.name = '404'
GROUP BY path, referrer
ORDER BY /*order*/ events DESC, path, referrer /*end*/
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
