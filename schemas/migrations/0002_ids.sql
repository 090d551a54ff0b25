-- Copies of known events are looked up here: a hash of each event's site and client id, in the order of the hashes. A look into
-- `events` would read the ids of the whole window (36 B each); here it reads one granule of 1 024 for each id that is asked for.
-- Rows are kept for as long as event_id is (8 days), and are dropped by whole days.
CREATE TABLE IF NOT EXISTS forebay.ids ${ON_CLUSTER}
(
    `hash`        UInt64 COMMENT 'First 8 bytes of the SHA-256 of an event''s site, NUL and its client''s id for it' CODEC(Delta, ZSTD(1)),
    `received_at` DateTime('UTC') COMMENT 'The minute in which ingest received it' CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(received_at)
ORDER BY hash
TTL received_at + INTERVAL 9 DAY
SETTINGS index_granularity = 1024, min_compress_block_size = 8192, ttl_only_drop_parts = 1,
    fsync_after_insert = 1, fsync_part_directory = 1,
    old_parts_lifetime = 480, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_fetch = 1
COMMENT 'Known client ids of the last days, to find copies by; a set: what stands in it twice stands in it';

-- This view fills the table, whoever inserts. The flusher adds the ids of an INSERT that was cut off between the table and the
-- view, once it has verified the block.
CREATE MATERIALIZED VIEW IF NOT EXISTS forebay.ids_fill ${ON_CLUSTER} TO forebay.ids AS
SELECT reinterpretAsUInt64(substring(SHA256(concat(site, '\0', event_id)), 1, 8)) AS hash, toStartOfMinute(received_at) AS received_at
FROM forebay.events WHERE event_id != '';
