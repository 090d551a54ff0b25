-- title: Freshness
-- answers: When the newest event was received and when the newest block was stored, and how many events came in the five minutes before `now`; of all sites.
-- leaves out: events that happened more than a day before `now`.
-- parameters: now UInt32
-- columns: last_received UInt32, last_stored Nullable(UInt32), events UInt64
-- dimensions: none
-- filters: none
-- seconds: 5
-- example: now=1772432160
SELECT
    toUInt32(toUnixTimestamp(max(e.received_at))) AS last_received,
    toUInt32(toUnixTimestamp((SELECT max(b.stored_at) FROM forebay.blocks AS b))) AS last_stored,
    countIf(e.received_at > toDateTime({now:UInt32}, 'UTC') - INTERVAL 5 MINUTE) AS events
FROM forebay.events AS e
WHERE toDate(e.ts) >= toDate(toDateTime({now:UInt32}, 'UTC')) - 1
