-- Counters by day are answered from the projection of events. Sessions are put together when they are asked for, because
-- writing them doubles the work of an INSERT and makes no query cheaper.
CREATE VIEW IF NOT EXISTS forebay.daily ${ON_CLUSTER}
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
AS SELECT
    site,
    toDate(e.ts) AS day,
    name,
    bot,
    hostname,
    path,
    currency,
    count() AS events,
    sum(e.engaged_ms) AS engaged_ms,
    sum(e.revenue) AS revenue
FROM forebay.events AS e
GROUP BY site, toDate(e.ts), name, bot, hostname, path, currency
COMMENT 'Counters by day and page';

CREATE VIEW IF NOT EXISTS forebay.sessions ${ON_CLUSTER}
(
    `site`         LowCardinality(String) COMMENT 'The site',
    `session_id`   UInt64 COMMENT 'As in events; its upper half is the unix second the session began',
    `visitor_id`   UInt64 COMMENT 'As in events',
    `bot`          String COMMENT 'Not empty when any event of the session looked automated',
    `started_at`   DateTime64(3, 'UTC') COMMENT 'First moment',
    `ended_at`     DateTime64(3, 'UTC') COMMENT 'Last moment',
    `entry`        Tuple(DateTime64(3, 'UTC'), String) COMMENT 'Moment and path of the first event',
    `exit`         Tuple(DateTime64(3, 'UTC'), String) COMMENT 'Moment and path of the last event',
    `first_source` Tuple(DateTime64(3, 'UTC'), String) COMMENT 'Moment and source of the first event',
    `country`      String COMMENT 'As in events',
    `browser`      String COMMENT 'As in events',
    `os`           String COMMENT 'As in events',
    `device`       String COMMENT 'As in events',
    `events`       UInt64 COMMENT 'Events of every name',
    `pageviews`    UInt64 COMMENT 'Events named pageview',
    `engaged_ms`   UInt64 COMMENT 'Sum over engagement events'
)
AS SELECT
    site,
    session_id,
    any(e.visitor_id) AS visitor_id,
    max(e.bot) AS bot,
    min(e.ts) AS started_at,
    max(e.ts) AS ended_at,
    (min(e.ts), argMin(e.path, e.ts)) AS entry,
    (max(e.ts), argMax(e.path, e.ts)) AS exit,
    (min(e.ts), argMin(e.source, e.ts)) AS first_source,
    max(e.country) AS country,
    max(e.browser) AS browser,
    max(e.os) AS os,
    max(e.device) AS device,
    count() AS events,
    countIf(e.name = 'pageview') AS pageviews,
    sum(e.engaged_ms) AS engaged_ms
FROM forebay.events AS e
GROUP BY site, session_id
COMMENT 'One row per session';

-- These views leave out what looks automated. `*` stands for the columns of the moment in which a view is made, so a migration
-- that adds a column makes these two anew.
CREATE OR REPLACE VIEW forebay.v_events ${ON_CLUSTER} AS
SELECT * FROM forebay.events WHERE bot = '';

CREATE OR REPLACE VIEW forebay.v_pageviews ${ON_CLUSTER} AS
SELECT * FROM forebay.events WHERE bot = '' AND name = 'pageview';

-- It is a view of events and not of sessions, because ClickHouse before 26.3 can't read a part of a tuple through a view.
CREATE OR REPLACE VIEW forebay.v_sessions ${ON_CLUSTER} AS
SELECT
    site,
    session_id,
    any(e.visitor_id) AS visitor_id,
    min(e.ts) AS started_at,
    max(e.ts) AS ended_at,
    dateDiff('second', started_at, ended_at) AS seconds,
    argMin(e.path, e.ts) AS entry_path,
    argMax(e.path, e.ts) AS exit_path,
    toString(argMin(e.source, e.ts)) AS source,
    toString(max(e.country)) AS country,
    toString(max(e.browser)) AS browser,
    toString(max(e.os)) AS os,
    toString(max(e.device)) AS device,
    count() AS events,
    countIf(e.name = 'pageview') AS pageviews,
    sum(e.engaged_ms) AS engaged_ms,
    pageviews <= 1 AND events <= 1 AND engaged_ms < 10000 AS is_bounce
FROM forebay.events AS e
GROUP BY site, session_id
HAVING max(e.bot) = '';

-- What the view has beside the columns of sessions, whose comments `forebay migrate` gives it.
ALTER TABLE forebay.v_sessions ${ON_CLUSTER}
    COMMENT COLUMN IF EXISTS seconds 'From the first moment to the last',
    COMMENT COLUMN IF EXISTS entry_path 'Path of the first event',
    COMMENT COLUMN IF EXISTS exit_path 'Path of the last event',
    COMMENT COLUMN IF EXISTS source 'Source of the first event: as in events',
    COMMENT COLUMN IF EXISTS is_bounce '1 when there was one pageview, no other event, and less than ten seconds of engagement';
