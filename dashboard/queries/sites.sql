-- title: Pageviews of all sites by day
-- answers: How many pageviews each site had on each day of UTC, for a list of sites with a line of days each.
-- leaves out: what looks automated; everything but pageviews. Days are those of UTC, because sites have different zones.
-- parameters: since Date, until Date
-- columns: site LowCardinality(String), day Date, pageviews UInt64
-- dimensions: none
-- filters: none
-- seconds: 10
-- example: since=2026-03-01 until=2026-03-28
SELECT e.site AS site, toDate(e.ts) AS day, count() AS pageviews
FROM forebay.events AS e
WHERE e.bot = '' AND e.name = 'pageview' AND toDate(e.ts) BETWEEN {since:Date} AND {until:Date}
GROUP BY site, day
ORDER BY site, day
