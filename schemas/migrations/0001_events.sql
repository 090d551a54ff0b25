CREATE DATABASE IF NOT EXISTS forebay ${ON_CLUSTER};

-- The raw table. Its column comments are the data dictionary.
CREATE TABLE IF NOT EXISTS forebay.events ${ON_CLUSTER}
(
    `site`         LowCardinality(String) COMMENT 'The site the event belongs to',
    `name`         LowCardinality(String) COMMENT 'pageview, or the name of a custom event',
    `ts`           DateTime64(3, 'UTC') COMMENT 'When it happened, by the client clock where it is plausible' CODEC(Delta, ZSTD(1)),
    `received_at`  DateTime64(3, 'UTC') COMMENT 'When ingest received it' CODEC(Delta, ZSTD(1)),
    `event_id`     String COMMENT 'The client''s own name of the event; emptied after 8 days' TTL toDateTime(received_at) + INTERVAL 8 DAY,
    `visitor_id`   UInt64 COMMENT 'Keyed hash of site, client address and user agent under a salt of the UTC day, or of an id an SDK owns',
    `session_id`   UInt64 COMMENT 'Unix second of the first event seen << 32 | 32-bit hash of the visitor' CODEC(Delta, ZSTD(1)),
    `user_id`      String COMMENT 'Identified person, only if the site sends one',
    `url`          String EPHEMERAL '' COMMENT 'Given on insert, not stored',
    `referrer_url` String EPHEMERAL '' COMMENT 'Given on insert, not stored',
    `url_flags`    UInt8 EPHEMERAL 0 COMMENT 'Given on insert: 1 keeps the whole query, 2 keeps the fragment in path',
    `hostname`     LowCardinality(String) DEFAULT lower(domain(url)) COMMENT 'Host of the URL',
    `path`         String DEFAULT if(bitAnd(url_flags, 2) != 0 AND fragment(url) != '', concat(path(url), '#', fragment(url)), path(url)) COMMENT 'Path of the URL; with the fragment when the site routes by hash',
    `query`        String DEFAULT if(bitAnd(url_flags, 1) != 0, queryString(url), arrayStringConcat(arrayMap(p -> if(match(p, '^(gclid|gbraid|wbraid|fbclid|msclkid|ttclid|twclid|li_fat_id|yclid|dclid)='), concat(splitByChar('=', p)[1], '=1'), p), arrayFilter(p -> match(p, '^(utm_[a-z_]+|ref|source|via|gclid|gbraid|wbraid|fbclid|msclkid|ttclid|twclid|li_fat_id|yclid|dclid)='), splitByChar('&', queryString(url)))), '&')) COMMENT 'Allow-listed query parameters (utm_*, ref, source, via; click ids as presence), or the whole query where the site keeps it',
    `referrer`     String DEFAULT cutQueryStringAndFragment(referrer_url) COMMENT 'Referring URL without query and fragment',
    `utm_source`   LowCardinality(String) DEFAULT replaceAll(toValidUTF8(decodeURLFormComponent(extractURLParameter(url, 'utm_source'))), '\0', '') COMMENT 'utm_source of the URL',
    `utm_medium`   LowCardinality(String) DEFAULT replaceAll(toValidUTF8(decodeURLFormComponent(extractURLParameter(url, 'utm_medium'))), '\0', '') COMMENT 'utm_medium of the URL',
    `utm_campaign` LowCardinality(String) DEFAULT replaceAll(toValidUTF8(decodeURLFormComponent(extractURLParameter(url, 'utm_campaign'))), '\0', '') COMMENT 'utm_campaign of the URL',
    `utm_term`     LowCardinality(String) DEFAULT replaceAll(toValidUTF8(decodeURLFormComponent(extractURLParameter(url, 'utm_term'))), '\0', '') COMMENT 'utm_term of the URL',
    `utm_content`  LowCardinality(String) DEFAULT replaceAll(toValidUTF8(decodeURLFormComponent(extractURLParameter(url, 'utm_content'))), '\0', '') COMMENT 'utm_content of the URL',
    `source`       LowCardinality(String) DEFAULT multiIf(utm_source != '', utm_source, extractURLParameter(url, 'ref') != '', replaceAll(toValidUTF8(decodeURLFormComponent(extractURLParameter(url, 'ref'))), '\0', ''), domainWithoutWWW(referrer_url) = domainWithoutWWW(url), '', lower(domainWithoutWWW(referrer_url))) COMMENT 'utm_source, else ref, else the referring host; empty for direct and internal',
    `channel`      LowCardinality(String) COMMENT 'Acquisition channel; empty until enrichment classifies it',
    `title`        String COMMENT 'Document title',
    `language`     LowCardinality(String) COMMENT 'Language of the browser',
    `screen_w`     UInt16 COMMENT 'Screen width in CSS pixels',
    `screen_h`     UInt16 COMMENT 'Screen height in CSS pixels',
    `revenue_e4`   Int64 EPHEMERAL 0 COMMENT 'Given on insert: ten-thousandths of the currency unit',
    `revenue`      Decimal(18, 4) DEFAULT toDecimal64(revenue_e4, 0) * toDecimal64('0.0001', 4) COMMENT 'Money of the event, in currency',
    `currency`     LowCardinality(String) COMMENT 'ISO 4217 code of revenue',
    `engaged_ms`   UInt32 COMMENT 'Milliseconds the page was visible and in use (engagement events)',
    `scroll_pct`   UInt8 COMMENT 'Deepest scroll position in percent (engagement events)',
    `props`        Map(LowCardinality(String), String) COMMENT 'Custom properties, values as text',
    `vitals`       Map(LowCardinality(String), Float32) COMMENT 'Web vitals: lcp, inp, cls, fcp, ttfb (vitals events)',
    `dialect`      LowCardinality(String) COMMENT 'Wire format it came in',
    `bot`          LowCardinality(String) COMMENT 'Why it looks automated; empty for people',
    `country`      LowCardinality(String) COMMENT 'ISO 3166-1 alpha-2 code',
    `browser`      LowCardinality(String) COMMENT 'Browser family',
    `os`           LowCardinality(String) COMMENT 'Operating system family',
    `device`       LowCardinality(String) COMMENT 'desktop, mobile, tablet; empty when unknown',
    `block_id`     LowCardinality(String) COMMENT 'The block that stored it: incarnation, shard, edges',
    `attempt`      UInt8 COMMENT '0, or the number of the repair that stored it again; rollups count 0 only',
    `deadline`     UInt32 EPHEMERAL 4294967295 COMMENT 'Given on insert: unix second after which ClickHouse must refuse it',
    `late`         UInt8 DEFAULT throwIf(toUnixTimestamp(now()) > deadline, 'forebay: insert after its deadline') COMMENT 'Always 0: refuses inserts of a flusher that lost its lease',
    INDEX block_id_range block_id TYPE minmax GRANULARITY 1,
    INDEX received_range received_at TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (site, toDate(ts), session_id, ts)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'One row per stored event';
