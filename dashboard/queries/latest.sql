-- title: The latest events
-- answers: The last events of a site, to see that they arrive and what they look like.
-- leaves out: what is older than a day before `now`. Bots are in it, with what they are (`bot`).
-- parameters: site String, now UInt32, limit UInt32
-- columns: at UInt32, name LowCardinality(String), path String, bot LowCardinality(String), country LowCardinality(String)
-- dimensions: none
-- filters: none
-- seconds: 5
-- example: site=hand.example now=1772432160 limit=10
SELECT toUInt32(toUnixTimestamp(e.ts)) AS at, e.name AS name, e.path AS path, e.bot AS bot, e.country AS country
FROM forebay.events AS e
WHERE e.site = {site:String} AND toDate(e.ts) >= toDate(toDateTime({now:UInt32}, 'UTC')) - 1
    AND e.ts > toDateTime({now:UInt32}, 'UTC') - INTERVAL 1 DAY
ORDER BY e.ts DESC, e.session_id DESC, e.name
LIMIT {limit:UInt32}
