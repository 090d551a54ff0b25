-- Ingest hands over URLs in one form, without user, port and what the site does not keep (ingest/enrich/url.py): what
-- stands between "//" and the next "/" is the host. ClickHouse's domain() knows no host without a dot and none in
-- brackets, and its path() is empty where no "/" follows the host.
ALTER TABLE forebay.events ${ON_CLUSTER}
    MODIFY COLUMN IF EXISTS `hostname` LowCardinality(String) DEFAULT extract(url, '^[a-z0-9+.:-]*//([^/]*)'),
    MODIFY COLUMN IF EXISTS `source` LowCardinality(String) DEFAULT multiIf(utm_source != '', utm_source, extractURLParameter(url, 'ref') != '', replaceAll(toValidUTF8(decodeURLFormComponent(extractURLParameter(url, 'ref'))), '\0', ''), bitAnd(url_flags, 4) != 0, '', extract(referrer_url, '^[a-z0-9+.:-]*//(?:www\\.)?([^/]*)')),
    ADD COLUMN IF NOT EXISTS `agent_kind` LowCardinality(String) DEFAULT multiIf(bitAnd(url_flags, 8) != 0, 'library', bot IN ('library', 'crawler', 'headless'), bot, '') COMMENT 'What sent it, by its user agent: library, crawler, headless; empty for browsers. A library that sends a user or revenue is a server, and no bot' CODEC(ZSTD(1)) AFTER bot;

-- `*` in a view stands for the columns of the moment in which it was made.
CREATE OR REPLACE VIEW forebay.v_events ${ON_CLUSTER} AS
SELECT * FROM forebay.events WHERE bot = '';

CREATE OR REPLACE VIEW forebay.v_pageviews ${ON_CLUSTER} AS
SELECT * FROM forebay.events WHERE bot = '' AND name = 'pageview';
