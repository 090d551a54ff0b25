-- title: Web vitals: good, middling, poor
-- answers: How many measurements of each vital were good, middling and poor by the bounds of web.dev, and what three quarters of them
--   do not exceed. Good is up to 2500 ms (lcp), 200 ms (inp), 0.1 (cls), 1800 ms (fcp), 800 ms (ttfb); poor is above 4000, 500,
--   0.25, 3000, 1800. 0.749999999 makes quantileExact take the nearest rank and not the one above.
-- leaves out: what looks automated, unless `bots` is 1; vitals that nobody reported.
-- parameters: site String, bots UInt8, first_day Date, last_day Date, zone String, since Date, until Date, before UInt32
-- columns: vital String, samples UInt64, p75 Float32, good UInt64, middling UInt64, poor UInt64
-- dimensions: none
-- filters: row
-- seconds: 10
-- example: site=hand.example zone=Asia/Kathmandu since=2026-03-01 until=2026-03-31
WITH
    -- In 32 bits, as the measurements are: else 0.1 would be more than 0.1.
    toFloat32(transform(vital, ['lcp', 'inp', 'cls', 'fcp', 'ttfb'], [2500, 200, 0.1, 1800, 800], 0)) AS good_until,
    toFloat32(transform(vital, ['lcp', 'inp', 'cls', 'fcp', 'ttfb'], [4000, 500, 0.25, 3000, 1800], 0)) AS poor_after
SELECT
    vital,
    count() AS samples,
    quantileExact(0.749999999)(value) AS p75,
    countIf(value <= good_until) AS good,
    countIf(value > good_until AND value <= poor_after) AS middling,
    countIf(value > poor_after) AS poor
FROM forebay.events AS e
ARRAY JOIN mapKeys(e.vitals) AS vital, mapValues(e.vitals) AS value
WHERE e.site = {site:String} AND ({bots:UInt8} OR e.bot = '') AND toDate(e.ts) BETWEEN {first_day:Date} AND {last_day:Date}
    AND toDate(toStartOfFifteenMinutes(e.ts), {zone:String}) BETWEEN {since:Date} AND {until:Date}
    AND toStartOfFifteenMinutes(e.ts) < toDateTime({before:UInt32}, 'UTC')
    AND /*filter*/ 1 /*end*/
    AND e.name = 'vitals'
GROUP BY vital
ORDER BY vital
