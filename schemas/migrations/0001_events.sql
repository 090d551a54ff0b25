CREATE DATABASE IF NOT EXISTS forebay ${ON_CLUSTER};

-- The raw table. Its column comments are the data dictionary.
--
-- The projection `daily` holds counters that live in the parts of `events`, and come and go with them: a rollup that can't
-- differ from its rows.
--
-- hostname and source: ingest hands over URLs in one form, without user, port and what the site does not keep, so what stands
-- between "//" and the next "/" is the host. ClickHouse's domain() knows no host without a dot and none in brackets, and its
-- path() is empty where no "/" follows the host.
--
-- ZSTD instead of LZ4, which is ClickHouse's default: 48 bytes a row instead of 83, 19 of them the event_id (36), merged,
-- with the projection; an INSERT takes 3.6 us a row instead of 3.4. Level 3 saves 12 % of the three long texts and nothing of
-- the others.
--
-- merge_with_ttl_timeout: a merge that empties old event_ids writes its whole part anew, row by row (4 us each), and the part
-- of a month has some to empty every day: not every 4 hours, then, which is ClickHouse's default.
--
-- old_parts_lifetime and the fsync of merges: what a merge or a mutation makes replaces parts that were fsynced, and is not
-- fsynced unless told so. ClickHouse therefore keeps the replaced ones for 8 minutes, in the hope that the kernel has written
-- the new one by then; some builds delete them at once, and a power cut then takes rows that were stored long ago. Both are
-- set: the fsync is what is relied on.
CREATE TABLE IF NOT EXISTS forebay.events ${ON_CLUSTER}
(
    `site`         LowCardinality(String) COMMENT 'The site the event belongs to' CODEC(ZSTD(1)),
    `name`         LowCardinality(String) COMMENT 'pageview, or the name of a custom event' CODEC(ZSTD(1)),
    `ts`           DateTime64(3, 'UTC') COMMENT 'When it happened, by the client clock where it is plausible' CODEC(Delta, ZSTD(1)),
    `received_at`  DateTime64(3, 'UTC') COMMENT 'When ingest received it' CODEC(Delta, ZSTD(1)),
    `event_id`     String COMMENT 'The client''s own name of the event; emptied after 8 to 16 days' CODEC(ZSTD(1)) TTL toDateTime(received_at) + INTERVAL 8 DAY,
    `visitor_id`   UInt64 COMMENT 'Keyed hash of site, client address and user agent under a salt of the UTC day, or of an id an SDK owns' CODEC(ZSTD(1)),
    `session_id`   UInt64 COMMENT 'Unix second of the first event seen << 32 | 32-bit hash of the visitor' CODEC(Delta, ZSTD(1)),
    `user_id`      String COMMENT 'Identified person, only if the site sends one' CODEC(ZSTD(1)),
    `url`          String EPHEMERAL '' COMMENT 'Given on insert, not stored',
    `referrer_url` String EPHEMERAL '' COMMENT 'Given on insert, not stored',
    `url_flags`    UInt8 EPHEMERAL 0 COMMENT 'Given on insert, a sum: 1 keeps the whole query, 2 keeps the fragment in path, 4 the referrer is internal, 8 a library sent it',
    `hostname`     LowCardinality(String) DEFAULT extract(url, '^[a-z0-9+.:-]*//([^/]*)') COMMENT 'Host of the URL' CODEC(ZSTD(1)),
    `path`         String DEFAULT if(bitAnd(url_flags, 2) != 0 AND fragment(url) != '', concat(path(url), '#', fragment(url)), path(url)) COMMENT 'Path of the URL; with the fragment when the site routes by hash' CODEC(ZSTD(3)),
    `query`        String DEFAULT if(bitAnd(url_flags, 1) != 0, queryString(url), arrayStringConcat(arrayMap(p -> if(match(p, '^(gclid|gbraid|wbraid|fbclid|msclkid|ttclid|twclid|li_fat_id|yclid|dclid)='), concat(splitByChar('=', p)[1], '=1'), p), arrayFilter(p -> match(p, '^(utm_[a-z_]+|ref|source|via|gclid|gbraid|wbraid|fbclid|msclkid|ttclid|twclid|li_fat_id|yclid|dclid)='), splitByChar('&', queryString(url)))), '&')) COMMENT 'Allow-listed query parameters (utm_*, ref, source, via; click ids as presence), or the whole query where the site keeps it' CODEC(ZSTD(1)),
    `referrer`     String DEFAULT cutQueryStringAndFragment(referrer_url) COMMENT 'Referring URL without query and fragment' CODEC(ZSTD(3)),
    `utm_source`   LowCardinality(String) DEFAULT replaceAll(toValidUTF8(decodeURLFormComponent(extractURLParameter(url, 'utm_source'))), '\0', '') COMMENT 'utm_source of the URL' CODEC(ZSTD(1)),
    `utm_medium`   LowCardinality(String) DEFAULT replaceAll(toValidUTF8(decodeURLFormComponent(extractURLParameter(url, 'utm_medium'))), '\0', '') COMMENT 'utm_medium of the URL' CODEC(ZSTD(1)),
    `utm_campaign` LowCardinality(String) DEFAULT replaceAll(toValidUTF8(decodeURLFormComponent(extractURLParameter(url, 'utm_campaign'))), '\0', '') COMMENT 'utm_campaign of the URL' CODEC(ZSTD(1)),
    `utm_term`     LowCardinality(String) DEFAULT replaceAll(toValidUTF8(decodeURLFormComponent(extractURLParameter(url, 'utm_term'))), '\0', '') COMMENT 'utm_term of the URL' CODEC(ZSTD(1)),
    `utm_content`  LowCardinality(String) DEFAULT replaceAll(toValidUTF8(decodeURLFormComponent(extractURLParameter(url, 'utm_content'))), '\0', '') COMMENT 'utm_content of the URL' CODEC(ZSTD(1)),
    `source`       LowCardinality(String) DEFAULT multiIf(utm_source != '', utm_source, extractURLParameter(url, 'ref') != '', replaceAll(toValidUTF8(decodeURLFormComponent(extractURLParameter(url, 'ref'))), '\0', ''), bitAnd(url_flags, 4) != 0, '', extract(referrer_url, '^[a-z0-9+.:-]*//(?:www\\.)?([^/]*)')) COMMENT 'utm_source, else ref, else the referring host; empty for direct and internal' CODEC(ZSTD(1)),
    `channel`      LowCardinality(String) COMMENT 'Acquisition channel; empty until enrichment classifies it' CODEC(ZSTD(1)),
    `title`        String COMMENT 'Document title' CODEC(ZSTD(3)),
    `language`     LowCardinality(String) COMMENT 'Language of the browser' CODEC(ZSTD(1)),
    `screen_w`     UInt16 COMMENT 'Screen width in CSS pixels' CODEC(ZSTD(1)),
    `screen_h`     UInt16 COMMENT 'Screen height in CSS pixels' CODEC(ZSTD(1)),
    `revenue_e4`   Int64 EPHEMERAL 0 COMMENT 'Given on insert: ten-thousandths of the currency unit',
    `revenue`      Decimal(18, 4) DEFAULT toDecimal64(revenue_e4, 0) * toDecimal64('0.0001', 4) COMMENT 'Money of the event, in currency' CODEC(ZSTD(1)),
    `currency`     LowCardinality(String) COMMENT 'ISO 4217 code of revenue' CODEC(ZSTD(1)),
    `engaged_ms`   UInt32 COMMENT 'Milliseconds the page was visible and in use (engagement events)' CODEC(ZSTD(1)),
    `scroll_pct`   UInt8 COMMENT 'Deepest scroll position in percent (engagement events)' CODEC(ZSTD(1)),
    `props`        Map(LowCardinality(String), String) COMMENT 'Custom properties, values as text' CODEC(ZSTD(1)),
    `vitals`       Map(LowCardinality(String), Float32) COMMENT 'Web vitals: lcp, inp, cls, fcp, ttfb (vitals events)' CODEC(ZSTD(1)),
    `dialect`      LowCardinality(String) COMMENT 'Wire format it came in' CODEC(ZSTD(1)),
    `bot`          LowCardinality(String) COMMENT 'Why it looks automated; empty for people' CODEC(ZSTD(1)),
    `agent_kind`   LowCardinality(String) DEFAULT multiIf(bitAnd(url_flags, 8) != 0, 'library', bot IN ('library', 'crawler', 'headless'), bot, '') COMMENT 'What sent it, by its user agent: library, crawler, headless; empty for browsers. A library that sends a user or revenue is a server, and no bot' CODEC(ZSTD(1)),
    `country`      LowCardinality(String) COMMENT 'ISO 3166-1 alpha-2 code' CODEC(ZSTD(1)),
    `browser`      LowCardinality(String) COMMENT 'Browser family' CODEC(ZSTD(1)),
    `os`           LowCardinality(String) COMMENT 'Operating system family' CODEC(ZSTD(1)),
    `device`       LowCardinality(String) COMMENT 'desktop, mobile, tablet; empty when unknown' CODEC(ZSTD(1)),
    `block_id`     LowCardinality(String) COMMENT 'The block that stored it: incarnation, shard, edges' CODEC(ZSTD(1)),
    `attempt`      UInt8 COMMENT '0, or the number of the repair that stored it again' CODEC(ZSTD(1)),
    `deadline`     UInt32 EPHEMERAL 4294967295 COMMENT 'Given on insert: unix second after which ClickHouse must refuse it',
    `late`         UInt8 DEFAULT throwIf(toUnixTimestamp(now()) > deadline, 'forebay: insert after its deadline') COMMENT 'Always 0: refuses inserts of a flusher that lost its lease' CODEC(ZSTD(1)),
    INDEX block_id_range block_id TYPE minmax GRANULARITY 1,
    INDEX received_range received_at TYPE minmax GRANULARITY 1,
    PROJECTION daily
    (
        SELECT site, toDate(ts), name, bot, hostname, path, currency, count(), sum(engaged_ms), sum(revenue)
        GROUP BY site, toDate(ts), name, bot, hostname, path, currency
    )
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (site, toDate(ts), session_id, ts)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1,
    merge_with_ttl_timeout = 691200,
    old_parts_lifetime = 480, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_fetch = 1
COMMENT 'One row per stored event';
