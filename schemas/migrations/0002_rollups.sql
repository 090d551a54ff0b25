-- Both rollups count attempt 0 only: a repair of raw rows was already counted (delivery.md, rule 4).
CREATE TABLE IF NOT EXISTS forebay.sessions ${ON_CLUSTER}
(
    `site`         LowCardinality(String) COMMENT 'The site',
    `session_id`   UInt64 COMMENT 'As in events; its upper half is the unix second the session began',
    `visitor_id`   SimpleAggregateFunction(any, UInt64) COMMENT 'As in events',
    `bot`          SimpleAggregateFunction(max, String) COMMENT 'Not empty when any event of the session looked automated',
    `started_at`   SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'First moment',
    `ended_at`     SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Last moment',
    `entry`        SimpleAggregateFunction(min, Tuple(DateTime64(3, 'UTC'), String)) COMMENT 'Moment and path of the first event',
    `exit`         SimpleAggregateFunction(max, Tuple(DateTime64(3, 'UTC'), String)) COMMENT 'Moment and path of the last event',
    `first_source` SimpleAggregateFunction(min, Tuple(DateTime64(3, 'UTC'), String)) COMMENT 'Moment and source of the first event',
    `country`      SimpleAggregateFunction(max, String) COMMENT 'As in events',
    `browser`      SimpleAggregateFunction(max, String) COMMENT 'As in events',
    `os`           SimpleAggregateFunction(max, String) COMMENT 'As in events',
    `device`       SimpleAggregateFunction(max, String) COMMENT 'As in events',
    `events`       SimpleAggregateFunction(sum, UInt64) COMMENT 'Events of every name',
    `pageviews`    SimpleAggregateFunction(sum, UInt64) COMMENT 'Events named pageview',
    `engaged_ms`   SimpleAggregateFunction(sum, UInt64) COMMENT 'Sum over engagement events'
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(toDateTime(bitShiftRight(session_id, 32), 'UTC'))
ORDER BY (site, session_id)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'One row per session once merged: always aggregate by site and session_id';

CREATE MATERIALIZED VIEW IF NOT EXISTS forebay.sessions_fill ${ON_CLUSTER} TO forebay.sessions AS
SELECT
    site,
    session_id,
    any(visitor_id) AS visitor_id,
    max(toString(bot)) AS bot,
    min(ts) AS started_at,
    max(ts) AS ended_at,
    min((ts, path)) AS entry,
    max((ts, path)) AS exit,
    min((ts, toString(source))) AS first_source,
    max(toString(country)) AS country,
    max(toString(browser)) AS browser,
    max(toString(os)) AS os,
    max(toString(device)) AS device,
    count() AS events,
    countIf(name = 'pageview') AS pageviews,
    sum(toUInt64(engaged_ms)) AS engaged_ms
FROM forebay.events
WHERE attempt = 0
GROUP BY site, session_id;

CREATE TABLE IF NOT EXISTS forebay.daily ${ON_CLUSTER}
(
    `site`       LowCardinality(String) COMMENT 'The site',
    `day`        Date COMMENT 'UTC day of the events',
    `name`       LowCardinality(String) COMMENT 'Name of the events',
    `bot`        LowCardinality(String) COMMENT 'As in events',
    `hostname`   LowCardinality(String) COMMENT 'As in events',
    `path`       String COMMENT 'As in events',
    `currency`   LowCardinality(String) COMMENT 'Of revenue',
    `events`     UInt64 COMMENT 'How many',
    `engaged_ms` UInt64 COMMENT 'Sum',
    `revenue`    Decimal(38, 4) COMMENT 'Sum, in currency'
)
ENGINE = SummingMergeTree((events, engaged_ms, revenue))
PARTITION BY toYYYYMM(day)
ORDER BY (site, day, name, bot, hostname, path, currency)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Counters by day and page: always sum';

CREATE MATERIALIZED VIEW IF NOT EXISTS forebay.daily_fill ${ON_CLUSTER} TO forebay.daily AS
SELECT
    site,
    toDate(ts) AS day,
    name,
    bot,
    hostname,
    path,
    currency,
    count() AS events,
    sum(toUInt64(engaged_ms)) AS engaged_ms,
    sum(toDecimal128(revenue, 4)) AS revenue
FROM forebay.events
WHERE attempt = 0
GROUP BY site, day, name, bot, hostname, path, currency;
