-- title: People now
-- answers: How many people looked at a page in the last five minutes, in all and by page, country or anything else that a pageview has.
-- leaves out: what looks automated, unless `bots` is 1; everything but pageviews.
-- parameters: site String, bots UInt8, now UInt32, limit UInt32, offset UInt32
-- columns: d Dimension, visitors UInt64, pageviews UInt64
-- dimensions: row
-- filters: row
-- seconds: 5
-- example: site=hand.example now=1772432160 limit=10 offset=0
SELECT /*dimension*/ e.site /*end*/ AS d, uniqExact(e.visitor_id) AS visitors, count() AS pageviews
FROM forebay.events AS e
WHERE e.site = {site:String} AND ({bots:UInt8} OR e.bot = '') AND e.name = 'pageview'
    AND toDate(e.ts) >= toDate(toDateTime({now:UInt32}, 'UTC')) - 1
    AND e.ts > toDateTime({now:UInt32}, 'UTC') - INTERVAL 5 MINUTE AND e.ts <= toDateTime({now:UInt32}, 'UTC')
    AND /*filter*/ 1 /*end*/
GROUP BY d
ORDER BY /*order*/ visitors DESC, d /*end*/
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
