-- title: Web vitals
-- answers: What three quarters of the measurements do not exceed: lcp, inp, fcp and ttfb in ms, and cls. A vital that nobody
--   reported is NULL. Of 4 measurements it is the third: 0.749999999 makes quantileExact take the nearest rank and not the one above.
-- leaves out: what looks automated, unless `bots` is 1.
-- parameters: site String, bots UInt8, first_day Date, last_day Date, zone String, since Date, until Date, before UInt32, limit UInt32, offset UInt32
-- columns: d Dimension, samples UInt64, lcp Nullable(Float32), inp Nullable(Float32), cls Nullable(Float32),
--   fcp Nullable(Float32), ttfb Nullable(Float32)
-- dimensions: row
-- filters: row
-- seconds: 10
-- example: site=hand.example zone=Asia/Kathmandu since=2026-03-01 until=2026-03-31 limit=10 offset=0
SELECT
    /*dimension*/ e.path /*end*/ AS d,
    count() AS samples,
    quantileExactIfOrNull(0.749999999)(e.vitals['lcp'], mapContains(e.vitals, 'lcp')) AS lcp,
    quantileExactIfOrNull(0.749999999)(e.vitals['inp'], mapContains(e.vitals, 'inp')) AS inp,
    quantileExactIfOrNull(0.749999999)(e.vitals['cls'], mapContains(e.vitals, 'cls')) AS cls,
    quantileExactIfOrNull(0.749999999)(e.vitals['fcp'], mapContains(e.vitals, 'fcp')) AS fcp,
    quantileExactIfOrNull(0.749999999)(e.vitals['ttfb'], mapContains(e.vitals, 'ttfb')) AS ttfb
FROM forebay.events AS e
WHERE e.site = {site:String} AND ({bots:UInt8} OR e.bot = '') AND toDate(e.ts) BETWEEN {first_day:Date} AND {last_day:Date}
    AND toDate(toStartOfFifteenMinutes(e.ts), {zone:String}) BETWEEN {since:Date} AND {until:Date}
    AND toStartOfFifteenMinutes(e.ts) < toDateTime({before:UInt32}, 'UTC')
    AND /*filter*/ 1 /*end*/
    AND e.name = 'vitals'
GROUP BY d
ORDER BY /*order*/ samples DESC, d /*end*/
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
