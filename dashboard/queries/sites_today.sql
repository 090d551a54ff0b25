-- title: The last 24 hours of all sites
-- answers: How many visitors and pageviews each site had in the 24 hours before `now`.
-- leaves out: what looks automated; events that are no acts; events from later than `now`.
-- parameters: now UInt32
-- columns: site LowCardinality(String), visitors UInt64, pageviews UInt64
-- dimensions: none
-- filters: none
-- seconds: 10
-- example: now=1772432160
SELECT e.site AS site, uniqExact(e.visitor_id) AS visitors, countIf(e.name = 'pageview') AS pageviews
FROM forebay.events AS e
WHERE e.bot = '' AND e.name NOT IN ('engagement', 'vitals', 'identify', 'alias', 'group') AND toDate(e.ts) >= toDate(toDateTime({now:UInt32}, 'UTC')) - 1
    AND e.ts > toDateTime({now:UInt32}, 'UTC') - INTERVAL 1 DAY AND e.ts <= toDateTime({now:UInt32}, 'UTC')
GROUP BY site
ORDER BY visitors DESC, site
