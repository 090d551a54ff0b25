-- Acts of days that are over, stored beside their visits (0012_closed_days.sql), so that questions about pages, events and goals read a
-- row for each thing that a visit did. docs/decisions/0062-acts-of-closed-days.md has the reasons. A copy of a day has them under its
-- number. Everything here is derived from `events`, and may be emptied at any time.
--
-- A row stands for all events of a visitor within a visit and a local day that have the same page, name, client and place, but each event
-- with a currency has one of its own. What is no act of people (looks automated, only says how a page was read, is of a session whose
-- events are more than a day apart) is left out. It is counted in rows with `is_kept` 0, so that each copy has rows, and as many events as
-- the day.
CREATE TABLE IF NOT EXISTS forebay.closed_acts ${ON_CLUSTER}
(
    `site`            LowCardinality(String) COMMENT 'The site' CODEC(ZSTD(1)),
    `opened`          Date COMMENT 'The day, as in closed_visits' CODEC(ZSTD(1)),
    `copy`            UInt64 COMMENT 'The copy, as in closed_visits' CODEC(ZSTD(1)),
    `is_kept`         UInt8 COMMENT '0 in rows that count what was left out' CODEC(ZSTD(1)),
    `session_id`      UInt64 COMMENT 'As in events; if is_kept is 0, a session whose events are more than a day apart, or 0' CODEC(Delta, ZSTD(1)),
    `part_day`        Date COMMENT 'Local day of these events; 1970-01-01 if is_kept is 0' CODEC(ZSTD(1)),
    `began_day`       Date COMMENT 'Local day of the session''s first event' CODEC(ZSTD(1)),
    `is_of_people`    UInt8 COMMENT '1 when no event of the session looks automated' CODEC(ZSTD(1)),
    `visitor`         UInt64 COMMENT 'As visitor_id in events' CODEC(ZSTD(1)),
    `hostname`        LowCardinality(String) COMMENT 'As in events' CODEC(ZSTD(1)),
    `path`            LowCardinality(String) COMMENT 'As in events' CODEC(ZSTD(1)),
    `name`            LowCardinality(String) COMMENT 'As in events' CODEC(ZSTD(1)),
    `currency`        LowCardinality(String) COMMENT 'As in events' CODEC(ZSTD(1)),
    `country`         LowCardinality(String) COMMENT 'As in events' CODEC(ZSTD(1)),
    `region`          LowCardinality(String) COMMENT 'As in events' CODEC(ZSTD(1)),
    `city`            LowCardinality(String) COMMENT 'As in events' CODEC(ZSTD(1)),
    `device`          LowCardinality(String) COMMENT 'As in events' CODEC(ZSTD(1)),
    `screen_class`    LowCardinality(String) COMMENT 'As in events' CODEC(ZSTD(1)),
    `browser`         LowCardinality(String) COMMENT 'As in events' CODEC(ZSTD(1)),
    `browser_version` LowCardinality(String) COMMENT 'As in events' CODEC(ZSTD(1)),
    `os`              LowCardinality(String) COMMENT 'As in events' CODEC(ZSTD(1)),
    `os_version`      LowCardinality(String) COMMENT 'As in events' CODEC(ZSTD(1)),
    `language`        LowCardinality(String) COMMENT 'As in events' CODEC(ZSTD(1)),
    `events`          UInt64 COMMENT 'How many events these are' CODEC(ZSTD(1)),
    `revenue`         Decimal(38, 4) COMMENT 'Sum of their money' CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(opened)
ORDER BY (site, opened, copy, is_kept, name, session_id)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1,
    old_parts_lifetime = 480, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_fetch = 1
COMMENT 'Acts of closed days, in copies; derived from events';

-- Sums of acts by one column each (schemas/closed.py), and by none. A visitor is in several rows of a day, so `visitors` can be added up
-- over days but not over values, and `leading` over both: it counts each visitor of a local day in one of these rows alone.
CREATE TABLE IF NOT EXISTS forebay.closed_act_sums ${ON_CLUSTER}
(
    `site`      LowCardinality(String) COMMENT 'The site' CODEC(ZSTD(1)),
    `column`    UInt8 COMMENT 'Number of the column' CODEC(ZSTD(1)),
    `opened`    Date COMMENT 'The day, as in closed_visits' CODEC(ZSTD(1)),
    `copy`      UInt64 COMMENT 'The copy, as in closed_visits' CODEC(ZSTD(1)),
    `part_day`  Date COMMENT 'As in closed_acts' CODEC(ZSTD(1)),
    `began_day` Date COMMENT 'As in closed_acts, of the visits' CODEC(ZSTD(1)),
    `value`     LowCardinality(String) COMMENT 'Value of the column' CODEC(ZSTD(1)),
    `visitors`  UInt64 COMMENT 'Visitors of this local day' CODEC(ZSTD(1)),
    `leading`   UInt64 COMMENT 'Visitors of this local day whom no other value counts here' CODEC(ZSTD(1)),
    `visits`    UInt64 COMMENT 'Visits of people that had the value for the first time on this local day' CODEC(ZSTD(1)),
    `pageviews` UInt64 COMMENT 'Pageviews' CODEC(ZSTD(1)),
    `events`    UInt64 COMMENT 'Events that are acts' CODEC(ZSTD(1)),
    `others`    UInt64 COMMENT 'All other events, by which sums are compared with the rows before they are noted' CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(opened)
ORDER BY (site, column, opened, copy, part_day)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1,
    old_parts_lifetime = 480, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_fetch = 1
COMMENT 'Sums of closed_acts, by one column each';

-- A copy that an earlier release made has no acts, nor has a day with a session whose events are more than a day apart.
ALTER TABLE forebay.closed_days ${ON_CLUSTER} ADD COLUMN IF NOT EXISTS `has_acts` UInt8 COMMENT '1 when all acts of the day are in closed_acts' CODEC(ZSTD(1)) AFTER `copy`;
