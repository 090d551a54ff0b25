-- title: Ledger: events by the minute of their receipt
-- answers: How many events of each minute are stored, for the comparison with what was accepted in that minute (docs/delivery.md, rule 12).
-- leaves out: nothing.
-- parameters: after UInt32, upto UInt32
-- columns: minute UInt32, site LowCardinality(String), events UInt64
-- dimensions: none
-- filters: none
-- seconds: 10
-- example: after=1772432100 upto=1772435700
SELECT toUInt32(toUnixTimestamp(toStartOfMinute(e.received_at))) AS minute, e.site AS site, count() AS events
FROM forebay.events AS e
WHERE e.received_at >= toDateTime({after:UInt32}, 'UTC') AND e.received_at < toDateTime({upto:UInt32}, 'UTC')
GROUP BY minute, site
ORDER BY minute, site
