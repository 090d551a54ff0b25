-- title: Revenue
-- answers: How much money came in, in how many purchases and from how many visitors, in each currency.
-- leaves out: what looks automated, unless `bots` is 1; events without a currency. Sums of two currencies are never added up.
-- parameters: site String, bots UInt8, first_day Date, last_day Date, zone String, since Date, until Date, before UInt32
-- columns: d Dimension, currency LowCardinality(String), revenue Decimal(38, 4), purchases UInt64, buyers UInt64
-- dimensions: row
-- filters: row
-- seconds: 10
-- example: site=hand.example zone=Asia/Kathmandu since=2026-03-01 until=2026-03-31
SELECT
    /*dimension*/ e.site /*end*/ AS d,
    e.currency AS currency,
    sum(e.revenue) AS revenue,
    count() AS purchases,
    uniqExact(e.visitor_id) AS buyers
FROM forebay.events AS e
WHERE e.site = {site:String} AND ({bots:UInt8} OR e.bot = '') AND toDate(e.ts) BETWEEN {first_day:Date} AND {last_day:Date}
    AND toDate(toStartOfFifteenMinutes(e.ts), {zone:String}) BETWEEN {since:Date} AND {until:Date}
    AND toStartOfFifteenMinutes(e.ts) < toDateTime({before:UInt32}, 'UTC')
    AND /*filter*/ 1 /*end*/
    AND e.currency != ''
GROUP BY d, currency
ORDER BY d, currency
