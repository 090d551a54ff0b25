-- What was removed on purpose: who asked, when, and why. Nothing here says whose events they were.
CREATE TABLE IF NOT EXISTS forebay.erasures ${ON_CLUSTER}
(
    `id`         String COMMENT 'Random',
    `kind`       LowCardinality(String) COMMENT 'erase: by forebay erase; accept: found missing, and accepted by forebay audit --accept',
    `asked_at`   DateTime64(3, 'UTC') COMMENT 'Its moment: what was accepted up to it is erased',
    `asked_by`   String COMMENT 'The user of the operating system who ran the command',
    `reason`     String COMMENT 'As given on the command line',
    `selectors`  String COMMENT 'Which were given: site, user, visitor, before',
    `site`       LowCardinality(String) COMMENT 'The site; empty when none was given',
    `ts_before`  DateTime64(3, 'UTC') COMMENT 'Events that happened before it; 1970 when none was given',
    `plan`       String COMMENT 'The rows of erased_rows that count',
    `stored`     UInt64 COMMENT 'Rows that were in events',
    `state`      LowCardinality(String) COMMENT 'planned: rows are being deleted; done: they are gone',
    `written_at` DateTime64(3, 'UTC') COMMENT 'When this was written; the last counts'
)
ENGINE = ReplacingMergeTree(written_at)
ORDER BY id
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1,
    old_parts_lifetime = 480, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_fetch = 1
COMMENT 'One row per erasure';

-- Rows are counted here before they are deleted, so a block that lacks more rows than this has lost some.
CREATE TABLE IF NOT EXISTS forebay.erased_rows ${ON_CLUSTER}
(
    `erasure`  String COMMENT 'As erasures.id',
    `plan`     String COMMENT 'Counts only when the erasure names it',
    `block_id` String COMMENT 'As in events',
    `minute`   UInt32 COMMENT 'Of receipt, since 1970',
    `site`     LowCardinality(String) COMMENT 'The site',
    `rows`     UInt64 COMMENT 'Rows that the erasure removes'
)
ENGINE = MergeTree
ORDER BY (block_id, erasure)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1,
    old_parts_lifetime = 480, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_fetch = 1
COMMENT 'How many rows each erasure removes, by block, minute and site';
