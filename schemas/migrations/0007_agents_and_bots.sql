-- What an agent, a crawler and a place are, since release 0.2.0. Ingest fills these columns; `bot_score` and `screen_class`
-- cost no byte, because ClickHouse computes them when they are asked for. A reason's weight stands in schemas/bots.py, in
-- `bot_score` and in `bot_reasons`, and a test holds the three to each other. Release 0.1.0 stored a verdict without its reasons:
-- it counts as 100.

ALTER TABLE forebay.events ${ON_CLUSTER}
    ADD COLUMN IF NOT EXISTS `bot_reasons` UInt32 COMMENT 'All that speaks for a program, a sum of the bits of forebay.bot_reasons' CODEC(ZSTD(1)) AFTER device,
    ADD COLUMN IF NOT EXISTS `bot_name` LowCardinality(String) COMMENT 'Name of a known crawler' CODEC(ZSTD(1)) AFTER bot_reasons,
    ADD COLUMN IF NOT EXISTS `bot_purpose` LowCardinality(String) COMMENT 'What a known crawler is for: ai-training, search, seo, ...' CODEC(ZSTD(1)) AFTER bot_name,
    ADD COLUMN IF NOT EXISTS `browser_version` LowCardinality(String) COMMENT 'Major version of the browser' CODEC(ZSTD(1)) AFTER bot_purpose,
    ADD COLUMN IF NOT EXISTS `os_version` LowCardinality(String) COMMENT 'Major version of the system' CODEC(ZSTD(1)) AFTER browser_version,
    ADD COLUMN IF NOT EXISTS `region` LowCardinality(String) COMMENT 'Region: its ISO 3166-2 code, or its name where the database has no code' CODEC(ZSTD(1)) AFTER os_version,
    ADD COLUMN IF NOT EXISTS `city` LowCardinality(String) COMMENT 'City, in English, where the database has it' CODEC(ZSTD(1)) AFTER region,
    ADD COLUMN IF NOT EXISTS `bot_score` UInt16 ALIAS if(bot_reasons = 0 AND bot != '', 100, 100 * bitTest(bot_reasons, 0) + 100 * bitTest(bot_reasons, 1) + 100 * bitTest(bot_reasons, 2) + 100 * bitTest(bot_reasons, 3) + 60 * bitTest(bot_reasons, 4) + 100 * bitTest(bot_reasons, 5) + 100 * bitTest(bot_reasons, 6) + 50 * bitTest(bot_reasons, 7) + 30 * bitTest(bot_reasons, 8) + 30 * bitTest(bot_reasons, 9)) COMMENT 'Sum of the weights of bot_reasons; from 50 on the views leave a row out' AFTER city,
    ADD COLUMN IF NOT EXISTS `screen_class` String ALIAS multiIf(screen_w = 0, '', screen_w < 576, 'mobile', screen_w < 992, 'tablet', screen_w < 1440, 'laptop', 'desktop') COMMENT 'mobile, tablet, laptop, desktop, by screen_w' AFTER bot_score;

ALTER TABLE forebay.probe ${ON_CLUSTER}
    ADD COLUMN IF NOT EXISTS `bot_reasons` UInt32 COMMENT 'All that speaks for a program, a sum of the bits of forebay.bot_reasons' CODEC(ZSTD(1)) AFTER device,
    ADD COLUMN IF NOT EXISTS `bot_name` LowCardinality(String) COMMENT 'Name of a known crawler' CODEC(ZSTD(1)) AFTER bot_reasons,
    ADD COLUMN IF NOT EXISTS `bot_purpose` LowCardinality(String) COMMENT 'What a known crawler is for: ai-training, search, seo, ...' CODEC(ZSTD(1)) AFTER bot_name,
    ADD COLUMN IF NOT EXISTS `browser_version` LowCardinality(String) COMMENT 'Major version of the browser' CODEC(ZSTD(1)) AFTER bot_purpose,
    ADD COLUMN IF NOT EXISTS `os_version` LowCardinality(String) COMMENT 'Major version of the system' CODEC(ZSTD(1)) AFTER browser_version,
    ADD COLUMN IF NOT EXISTS `region` LowCardinality(String) COMMENT 'Region: its ISO 3166-2 code, or its name where the database has no code' CODEC(ZSTD(1)) AFTER os_version,
    ADD COLUMN IF NOT EXISTS `city` LowCardinality(String) COMMENT 'City, in English, where the database has it' CODEC(ZSTD(1)) AFTER region,
    ADD COLUMN IF NOT EXISTS `bot_score` UInt16 ALIAS if(bot_reasons = 0 AND bot != '', 100, 100 * bitTest(bot_reasons, 0) + 100 * bitTest(bot_reasons, 1) + 100 * bitTest(bot_reasons, 2) + 100 * bitTest(bot_reasons, 3) + 60 * bitTest(bot_reasons, 4) + 100 * bitTest(bot_reasons, 5) + 100 * bitTest(bot_reasons, 6) + 50 * bitTest(bot_reasons, 7) + 30 * bitTest(bot_reasons, 8) + 30 * bitTest(bot_reasons, 9)) COMMENT 'Sum of the weights of bot_reasons; from 50 on the views leave a row out' AFTER city,
    ADD COLUMN IF NOT EXISTS `screen_class` String ALIAS multiIf(screen_w = 0, '', screen_w < 576, 'mobile', screen_w < 992, 'tablet', screen_w < 1440, 'laptop', 'desktop') COMMENT 'mobile, tablet, laptop, desktop, by screen_w' AFTER bot_score;

ALTER TABLE forebay.events ${ON_CLUSTER}
    COMMENT COLUMN IF EXISTS `visitor_id` 'Keyed hash of site, client address and user agent under a salt of the site''s day, or of an id an SDK owns',
    COMMENT COLUMN IF EXISTS `engaged_ms` 'Milliseconds the page was visible and in use, since the last engagement event (engagement events)',
    COMMENT COLUMN IF EXISTS `bot` 'Why it looks automated: the strongest of bot_reasons; empty for people',
    COMMENT COLUMN IF EXISTS `device` 'desktop, mobile, tablet, tv; empty when unknown';

ALTER TABLE forebay.probe ${ON_CLUSTER}
    COMMENT COLUMN IF EXISTS `visitor_id` 'Keyed hash of site, client address and user agent under a salt of the site''s day, or of an id an SDK owns',
    COMMENT COLUMN IF EXISTS `engaged_ms` 'Milliseconds the page was visible and in use, since the last engagement event (engagement events)',
    COMMENT COLUMN IF EXISTS `bot` 'Why it looks automated: the strongest of bot_reasons; empty for people',
    COMMENT COLUMN IF EXISTS `device` 'desktop, mobile, tablet, tv; empty when unknown';

CREATE OR REPLACE VIEW forebay.bot_reasons ${ON_CLUSTER} AS
SELECT * FROM VALUES('`bit` UInt32, `word` String, `weight` UInt8, `meaning` String',
    (1, 'no_user_agent', 100, 'It sent no User-Agent'),
    (2, 'headless', 100, 'Its User-Agent or client hints name a browser without a window'),
    (4, 'crawler', 100, 'Its User-Agent is on a list of crawlers'),
    (8, 'library', 100, 'Its User-Agent is that of a program''s HTTP client'),
    (16, 'not_a_browser', 60, 'Its User-Agent has not the form that browsers send'),
    (32, 'automation', 100, 'The page saw that a program drives the browser'),
    (64, 'referrer_spam', 100, 'Its referrer is on the list of referrer spam'),
    (128, 'rate', 50, 'Its visitor looked at more pages in a minute than a person can'),
    (256, 'headers', 30, 'Its headers are not those of the browser that it names'),
    (512, 'window', 30, 'The page saw a window of a size that no person has'));

ALTER TABLE forebay.bot_reasons ${ON_CLUSTER}
    COMMENT COLUMN IF EXISTS `bit` 'Its bit in bot_reasons of events',
    COMMENT COLUMN IF EXISTS `word` 'What the column bot of events says if it is the strongest',
    COMMENT COLUMN IF EXISTS `weight` 'What it adds to bot_score',
    COMMENT COLUMN IF EXISTS `meaning` 'What was seen, as a sentence';

CREATE OR REPLACE VIEW forebay.v_events ${ON_CLUSTER} AS
SELECT *, bot_score, screen_class FROM forebay.events WHERE bot = '';

CREATE OR REPLACE VIEW forebay.v_pageviews ${ON_CLUSTER} AS
SELECT *, bot_score, screen_class FROM forebay.events WHERE bot = '' AND name = 'pageview';
