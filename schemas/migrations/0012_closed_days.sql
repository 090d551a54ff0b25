-- Visits of days that are over, stored as rows, so that questions about them read a row for each visit and not all its events.
-- docs/decisions/0041-visits-of-closed-days.md has the reasons. Everything here is derived from `events`, and may be emptied at any time.
--
-- A *day* is a UTC day and a site's sessions that were opened on it, by the upper half of their session_id:
-- 371085174374400 is 86,400 << 32. The projection `session_days` holds a fingerprint of the rows of each such day. It lives in the parts
-- of `events`, so it can't differ from the rows, whoever adds, changes or deletes them. A copy of a day counts only while the
-- fingerprint of the rows is the one that was noted with it.
ALTER TABLE forebay.events ${ON_CLUSTER} ADD PROJECTION IF NOT EXISTS session_days
(
    SELECT site, intDiv(session_id, 371085174374400), count(), sum(cityHash64(session_id, ts, visitor_id, name, bot, engaged_ms))
    GROUP BY site, intDiv(session_id, 371085174374400)
);

-- In the background, as in 0008_local_time.sql. Until a part has the projection its rows are looked at.
ALTER TABLE forebay.events ${ON_CLUSTER} MATERIALIZE PROJECTION session_days SETTINGS mutations_sync = 0;

-- What is stored of a visit is what `named_sessions` says of it. A visit is one row, but over a local midnight it is up to three: its
-- beginning, and each of its visitors on the day of what it did (dashboard/queries/visits.sql).
CREATE TABLE IF NOT EXISTS forebay.closed_visits ${ON_CLUSTER}
(
    `site`            LowCardinality(String) COMMENT 'The site' CODEC(ZSTD(1)),
    `opened`          Date COMMENT 'UTC day of the upper half of session_id' CODEC(ZSTD(1)),
    `copy`            UInt64 COMMENT 'Which copy of this day it belongs to: closed_days says which of them counts' CODEC(ZSTD(1)),
    `session_id`      UInt64 COMMENT 'As in events' CODEC(Delta, ZSTD(1)),
    `is_begin`        UInt8 COMMENT '1 in one row of each visit; 0 in those of its visitors over midnight' CODEC(ZSTD(1)),
    `part_day`        Date COMMENT 'Local day on which this row counts' CODEC(ZSTD(1)),
    `part_at`         DateTime64(3, 'UTC') COMMENT 'Moment at which this row counts' CODEC(Delta, ZSTD(1)),
    `visitor`         UInt64 COMMENT 'Visitor of people whom this row counts; 0 for none' CODEC(ZSTD(1)),
    `is_once`         UInt8 COMMENT '1 when no other row of this day and copy has this visitor' CODEC(ZSTD(1)),
    `bot`             LowCardinality(String) COMMENT 'As in sessions' CODEC(ZSTD(1)),
    `is_visit`        UInt8 COMMENT 'As in sessions' CODEC(ZSTD(1)),
    `started_at`      DateTime64(3, 'UTC') COMMENT 'As in sessions' CODEC(Delta, ZSTD(1)),
    `last_day`        Date COMMENT 'Local day of last_active_at' CODEC(ZSTD(1)),
    `last_active_at`  DateTime64(3, 'UTC') COMMENT 'As in sessions' CODEC(Delta, ZSTD(1)),
    `events`          UInt64 COMMENT 'As in sessions, by which a copy is compared with the rows before it is noted' CODEC(ZSTD(1)),
    `seconds`         Int64 COMMENT 'As in sessions' CODEC(ZSTD(1)),
    `pageviews`       UInt64 COMMENT 'As in sessions' CODEC(ZSTD(1)),
    `engaged_ms`      UInt64 COMMENT 'As in sessions' CODEC(ZSTD(1)),
    `is_bounce`       UInt8 COMMENT 'As in sessions' CODEC(ZSTD(1)),
    `entry_hostname`  LowCardinality(String) COMMENT 'As in sessions' CODEC(ZSTD(1)),
    `entry_path`      LowCardinality(String) COMMENT 'As in sessions' CODEC(ZSTD(1)),
    `exit_hostname`   LowCardinality(String) COMMENT 'As in sessions' CODEC(ZSTD(1)),
    `exit_path`       LowCardinality(String) COMMENT 'As in sessions' CODEC(ZSTD(1)),
    `source_name`     LowCardinality(String) COMMENT 'As in named_sessions, by the lists that closed_days names' CODEC(ZSTD(1)),
    `channel`         LowCardinality(String) COMMENT 'As in named_sessions, by the lists that closed_days names' CODEC(ZSTD(1)),
    `referrer`        LowCardinality(String) COMMENT 'As in sessions' CODEC(ZSTD(1)),
    `utm_source`      LowCardinality(String) COMMENT 'As in sessions' CODEC(ZSTD(1)),
    `utm_medium`      LowCardinality(String) COMMENT 'As in sessions' CODEC(ZSTD(1)),
    `utm_campaign`    LowCardinality(String) COMMENT 'As in sessions' CODEC(ZSTD(1)),
    `utm_term`        LowCardinality(String) COMMENT 'As in sessions' CODEC(ZSTD(1)),
    `utm_content`     LowCardinality(String) COMMENT 'As in sessions' CODEC(ZSTD(1)),
    `country`         LowCardinality(String) COMMENT 'As in sessions' CODEC(ZSTD(1)),
    `region`          LowCardinality(String) COMMENT 'As in sessions' CODEC(ZSTD(1)),
    `city`            LowCardinality(String) COMMENT 'As in sessions' CODEC(ZSTD(1)),
    `language`        LowCardinality(String) COMMENT 'As in sessions' CODEC(ZSTD(1)),
    `browser`         LowCardinality(String) COMMENT 'As in sessions' CODEC(ZSTD(1)),
    `browser_version` LowCardinality(String) COMMENT 'As in sessions' CODEC(ZSTD(1)),
    `os`              LowCardinality(String) COMMENT 'As in sessions' CODEC(ZSTD(1)),
    `os_version`      LowCardinality(String) COMMENT 'As in sessions' CODEC(ZSTD(1)),
    `device`          LowCardinality(String) COMMENT 'As in sessions' CODEC(ZSTD(1)),
    `screen_class`    LowCardinality(String) COMMENT 'As in sessions' CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(opened)
ORDER BY (site, opened, copy, is_once, session_id)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1,
    old_parts_lifetime = 480, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_fetch = 1
COMMENT 'Visits of closed days, in copies; derived from events';

-- What no filter divides further is read from sums: for each set of columns in schemas/closed.py the parts of visits that are equal in
-- these columns, and in their days, are one row.
CREATE TABLE IF NOT EXISTS forebay.closed_sums ${ON_CLUSTER}
(
    `site`            LowCardinality(String) COMMENT 'The site' CODEC(ZSTD(1)),
    `columns`         UInt8 COMMENT 'Number of the set of columns' CODEC(ZSTD(1)),
    `opened`          Date COMMENT 'The day, as in closed_visits' CODEC(ZSTD(1)),
    `copy`            UInt64 COMMENT 'The copy, as in closed_visits' CODEC(ZSTD(1)),
    `part_day`        Date COMMENT 'Local day on which these parts count' CODEC(ZSTD(1)),
    `last_day`        Date COMMENT 'Local day of last_active_at' CODEC(ZSTD(1)),
    `is_bot`          UInt8 COMMENT '1 when these visits have an event that looked automated' CODEC(ZSTD(1)),
    `events`          UInt64 COMMENT 'Events, by which sums are compared with the rows before they are noted' CODEC(ZSTD(1)),
    `alone`           UInt64 COMMENT 'Visitors with is_once' CODEC(ZSTD(1)),
    `visits`          UInt64 COMMENT 'Visits that began here; the columns below are sums of these' CODEC(ZSTD(1)),
    `bounces`         UInt64 COMMENT 'Sum of is_bounce' CODEC(ZSTD(1)),
    `seconds`         Int64 COMMENT 'Sum of seconds' CODEC(ZSTD(1)),
    `pageviews`       UInt64 COMMENT 'Sum of pageviews' CODEC(ZSTD(1)),
    `engaged_ms`      UInt64 COMMENT 'Sum of engaged_ms' CODEC(ZSTD(1)),
    `device`          LowCardinality(String) COMMENT 'As in closed_visits, or empty if it is not in the set' CODEC(ZSTD(1)),
    `screen_class`    LowCardinality(String) COMMENT 'As in closed_visits, or empty if it is not in the set' CODEC(ZSTD(1)),
    `browser`         LowCardinality(String) COMMENT 'As in closed_visits, or empty if it is not in the set' CODEC(ZSTD(1)),
    `os`              LowCardinality(String) COMMENT 'As in closed_visits, or empty if it is not in the set' CODEC(ZSTD(1)),
    `language`        LowCardinality(String) COMMENT 'As in closed_visits, or empty if it is not in the set' CODEC(ZSTD(1)),
    `country`         LowCardinality(String) COMMENT 'As in closed_visits, or empty if it is not in the set' CODEC(ZSTD(1)),
    `source_name`     LowCardinality(String) COMMENT 'As in closed_visits, or empty if it is not in the set' CODEC(ZSTD(1)),
    `channel`         LowCardinality(String) COMMENT 'As in closed_visits, or empty if it is not in the set' CODEC(ZSTD(1)),
    `browser_version` LowCardinality(String) COMMENT 'As in closed_visits, or empty if it is not in the set' CODEC(ZSTD(1)),
    `os_version`      LowCardinality(String) COMMENT 'As in closed_visits, or empty if it is not in the set' CODEC(ZSTD(1)),
    `utm_source`      LowCardinality(String) COMMENT 'As in closed_visits, or empty if it is not in the set' CODEC(ZSTD(1)),
    `utm_medium`      LowCardinality(String) COMMENT 'As in closed_visits, or empty if it is not in the set' CODEC(ZSTD(1)),
    `utm_campaign`    LowCardinality(String) COMMENT 'As in closed_visits, or empty if it is not in the set' CODEC(ZSTD(1)),
    `utm_term`        LowCardinality(String) COMMENT 'As in closed_visits, or empty if it is not in the set' CODEC(ZSTD(1)),
    `utm_content`     LowCardinality(String) COMMENT 'As in closed_visits, or empty if it is not in the set' CODEC(ZSTD(1)),
    `region`          LowCardinality(String) COMMENT 'As in closed_visits, or empty if it is not in the set' CODEC(ZSTD(1)),
    `city`            LowCardinality(String) COMMENT 'As in closed_visits, or empty if it is not in the set' CODEC(ZSTD(1)),
    `entry_hostname`  LowCardinality(String) COMMENT 'As in closed_visits, or empty if it is not in the set' CODEC(ZSTD(1)),
    `entry_path`      LowCardinality(String) COMMENT 'As in closed_visits, or empty if it is not in the set' CODEC(ZSTD(1)),
    `exit_hostname`   LowCardinality(String) COMMENT 'As in closed_visits, or empty if it is not in the set' CODEC(ZSTD(1)),
    `exit_path`       LowCardinality(String) COMMENT 'As in closed_visits, or empty if it is not in the set' CODEC(ZSTD(1)),
    `referrer`        LowCardinality(String) COMMENT 'As in closed_visits, or empty if it is not in the set' CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(opened)
ORDER BY (site, columns, opened, copy, part_day)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1,
    old_parts_lifetime = 480, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_fetch = 1
COMMENT 'Sums of closed_visits, by sets of columns';

-- A visitor who is in two days of a site counts once. Who stands here is looked for by number; all others with `is_once` are counted
-- without that. A visitor too many in this table costs time and changes no number.
CREATE TABLE IF NOT EXISTS forebay.closed_repeats ${ON_CLUSTER}
(
    `site`    LowCardinality(String) COMMENT 'The site' CODEC(ZSTD(1)),
    `visitor` UInt64 COMMENT 'A visitor of more than one day' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (site, visitor)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1,
    old_parts_lifetime = 480, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_fetch = 1
COMMENT 'Visitors whom closed_visits has on more than one day';

-- A note is written when a copy is whole. Without one a copy does not count.
CREATE TABLE IF NOT EXISTS forebay.closed_days ${ON_CLUSTER}
(
    `site`      LowCardinality(String) COMMENT 'The site' CODEC(ZSTD(1)),
    `opened`    Date COMMENT 'The day, as in closed_visits' CODEC(ZSTD(1)),
    `zone`      LowCardinality(String) COMMENT 'Time zone of the local days in the copy' CODEC(ZSTD(1)),
    `made_of`   UInt64 COMMENT 'Fingerprint of the rows of which the copy was made' CODEC(ZSTD(1)),
    `lists`     UInt64 COMMENT 'Version of source_index by which sources were named' CODEC(ZSTD(1)),
    `copy`      UInt64 COMMENT 'The copy; the greatest of those that are true counts' CODEC(ZSTD(1)),
    `closed_at` DateTime64(3, 'UTC') COMMENT 'When this was noted' CODEC(ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (site, opened)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1,
    old_parts_lifetime = 480, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_fetch = 1
COMMENT 'Which copies of closed days are whole, and of which rows they were made'
