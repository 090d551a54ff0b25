CREATE TABLE IF NOT EXISTS forebay.blocks ${ON_CLUSTER}
(
    `block_id`    String COMMENT 'Incarnation, shard, edges',
    `incarnation` LowCardinality(String) COMMENT 'Of the shard''s stream',
    `shard`       UInt16 COMMENT 'The shard',
    `to_id`       String COMMENT 'The last entry of the block',
    `rows`        UInt32 COMMENT 'Events the block''s entries hold',
    `bytes`       UInt64 COMMENT 'Entry bytes of the block',
    `attempts`    UInt16 COMMENT 'Deliveries it took',
    `took_ms`     UInt32 COMMENT 'From the cut to stored',
    `stored_at`   DateTime64(3, 'UTC') COMMENT 'When it was stored'
)
ENGINE = ReplacingMergeTree(stored_at)
PARTITION BY toYYYYMM(stored_at)
ORDER BY (incarnation, shard, block_id)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1,
    old_parts_lifetime = 480, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_fetch = 1
COMMENT 'One row per stored block';
