-- Visitors of a visit, so that visits count visitors as events do (docs/visits.md).
--
-- A visitor is somebody with an event of people that is an act (schemas/acts.py). A visit over midnight may have two: the
-- first counts on the day of `first_active_at`, which need not be the day on which the visit began (an old tab was looked at
-- before midnight), and the last on the day of `last_active_at`. So the visitors of a site, of a source and
-- of a country can be asked of `sessions` alone, and are the distinct `visitor_id` of the rows. All else of `sessions` is as
-- 0009_visits.sql says.
--
-- `who` is a moment and a visitor as one number that sorts as the moment does. Its least and its greatest value are kept once for each
-- session, and have both. Each value that is kept of a session costs a question about a million visits 60 to 100 ms, so `is_visit` is
-- made of others, and `bot` is looked at where there is one.
CREATE OR REPLACE VIEW forebay.sessions ${ON_CLUSTER}
(
    `site`            LowCardinality(String) COMMENT 'The site',
    `session_id`      UInt64 COMMENT 'As in events; its upper half is the unix second the session began',
    `visitor_id`      UInt64 COMMENT 'Visitor of the first event; over midnight the later events have the number of the next day',
    `bot`             String COMMENT 'Not empty when any event of the session looked automated',
    `is_visit`        UInt8 COMMENT '0 when it has no act, as of a tab that is looked at again hours later',
    `started_at`      DateTime64(3, 'UTC') COMMENT 'First moment',
    `ended_at`        DateTime64(3, 'UTC') COMMENT 'Last moment',
    `seconds`         Int64 COMMENT 'From the first moment to the last',
    `events`          UInt64 COMMENT 'Events of every name',
    `pageviews`       UInt64 COMMENT 'Events named pageview',
    `custom_events`   UInt64 COMMENT 'Acts of every name but pageview',
    `engaged_ms`      UInt64 COMMENT 'Sum of engaged_ms',
    `is_bounce`       UInt8 COMMENT '1 when there was one pageview, no custom event, and less than ten seconds of engagement',
    `entry_hostname`  String COMMENT 'Host of the first pageview; empty without one',
    `entry_path`      String COMMENT 'Path of the first pageview; empty without one',
    `exit_hostname`   String COMMENT 'Host of the last pageview; empty without one',
    `exit_path`       String COMMENT 'Path of the last pageview; empty without one',
    `source`          String COMMENT 'As in events, of the first pageview, else of the first event',
    `referrer`        String COMMENT 'As in events, of the first pageview, else of the first event',
    `query`           String COMMENT 'As in events (click ids as presence), of the first pageview, else of the first event',
    `utm_source`      String COMMENT 'As in events, of the first pageview, else of the first event',
    `utm_medium`      String COMMENT 'As in events, of the first pageview, else of the first event',
    `utm_campaign`    String COMMENT 'As in events, of the first pageview, else of the first event',
    `utm_term`        String COMMENT 'As in events, of the first pageview, else of the first event',
    `utm_content`     String COMMENT 'As in events, of the first pageview, else of the first event',
    `country`         String COMMENT 'As in events',
    `region`          String COMMENT 'As in events',
    `city`            String COMMENT 'As in events',
    `language`        String COMMENT 'As in events',
    `browser`         String COMMENT 'As in events',
    `browser_version` String COMMENT 'As in events',
    `os`              String COMMENT 'As in events',
    `os_version`      String COMMENT 'As in events',
    `device`          String COMMENT 'As in events',
    `screen_class`    String COMMENT 'As in events, of the widest screen',
    `entry`           Tuple(DateTime64(3, 'UTC'), String) COMMENT 'Moment and path of the first pageview',
    `exit`            Tuple(DateTime64(3, 'UTC'), String) COMMENT 'Moment and path of the last pageview',
    `first_source`    Tuple(DateTime64(3, 'UTC'), String) COMMENT 'First moment, and source',
    `first_visitor`   UInt64 COMMENT 'Visitor of the first event that makes somebody a visitor: a person''s act. 0 without one',
    `last_visitor`    UInt64 COMMENT 'Visitor of the last such event; another one than first_visitor only over midnight',
    `first_active_at` DateTime64(3, 'UTC') COMMENT 'Moment of the first such event; 1970 without one',
    `last_active_at`  DateTime64(3, 'UTC') COMMENT 'Moment of the last such event; 1970 without one'
)
AS WITH
    toUnixTimestamp64Milli(e.ts) AS ms,
    reinterpretAsFixedString(byteSwap(ms)) AS moment,
    reinterpretAsFixedString(byteSwap(bitOr(ms, bitShiftLeft(toInt64(if(e.name = 'pageview', 0, 1)), 62)))) AS turn,
    bitOr(bitShiftLeft(toUInt128(ms), 64), toUInt128(e.visitor_id)) AS who,
    e.bot = '' AND e.name NOT IN ('engagement', 'vitals', 'identify', 'alias', 'group') AS is_seen
SELECT
    site,
    session_id,
    toUInt64(min(who)) AS visitor_id,
    maxIf(e.bot, e.bot != '') AS bot,
    toUInt8(pageviews + custom_events > 0) AS is_visit,
    min(e.ts) AS started_at,
    max(e.ts) AS ended_at,
    dateDiff('second', started_at, ended_at) AS seconds,
    count() AS events,
    countIf(e.name = 'pageview') AS pageviews,
    countIf(e.name NOT IN ('pageview', 'engagement', 'vitals', 'identify', 'alias', 'group')) AS custom_events,
    sum(e.engaged_ms) AS engaged_ms,
    toUInt8(pageviews = 1 AND custom_events = 0 AND engaged_ms < 10000) AS is_bounce,
    toString(argMinIf(e.hostname, concat(moment, e.path, '\0', e.hostname), e.name = 'pageview')) AS entry_hostname,
    argMinIf(e.path, concat(moment, e.path), e.name = 'pageview') AS entry_path,
    toString(argMaxIf(e.hostname, concat(moment, e.path, '\0', e.hostname), e.name = 'pageview')) AS exit_hostname,
    argMaxIf(e.path, concat(moment, e.path), e.name = 'pageview') AS exit_path,
    toString(argMin(e.source, concat(turn, e.path, '\0', e.source))) AS source,
    argMin(e.referrer, concat(turn, e.path, '\0', e.referrer)) AS referrer,
    argMin(e.query, concat(turn, e.path, '\0', e.query)) AS query,
    toString(argMin(e.utm_source, concat(turn, e.path, '\0', e.utm_source))) AS utm_source,
    toString(argMin(e.utm_medium, concat(turn, e.path, '\0', e.utm_medium))) AS utm_medium,
    toString(argMin(e.utm_campaign, concat(turn, e.path, '\0', e.utm_campaign))) AS utm_campaign,
    toString(argMin(e.utm_term, concat(turn, e.path, '\0', e.utm_term))) AS utm_term,
    toString(argMin(e.utm_content, concat(turn, e.path, '\0', e.utm_content))) AS utm_content,
    toString(max(e.country)) AS country,
    toString(max(e.region)) AS region,
    toString(max(e.city)) AS city,
    toString(max(e.language)) AS language,
    toString(max(e.browser)) AS browser,
    toString(max(e.browser_version)) AS browser_version,
    toString(max(e.os)) AS os,
    toString(max(e.os_version)) AS os_version,
    toString(max(e.device)) AS device,
    argMax(e.screen_class, e.screen_w) AS screen_class,
    (minIf(e.ts, e.name = 'pageview'), entry_path) AS entry,
    (maxIf(e.ts, e.name = 'pageview'), exit_path) AS exit,
    (started_at, source) AS first_source,
    toUInt64(minIf(who, is_seen)) AS first_visitor,
    toUInt64(maxIf(who, is_seen)) AS last_visitor,
    fromUnixTimestamp64Milli(toInt64(bitShiftRight(minIf(who, is_seen), 64)), 'UTC') AS first_active_at,
    fromUnixTimestamp64Milli(toInt64(bitShiftRight(maxIf(who, is_seen), 64)), 'UTC') AS last_active_at
FROM forebay.events AS e
GROUP BY site, session_id
COMMENT 'One row per session, with what looks automated and what is no visit';

-- All sessions with the name of their source and their channel, and people's visits of these. The texts are made by
-- schemas/channel_views.py, as those of 0010_channels.sql.
CREATE OR REPLACE VIEW forebay.named_sessions ${ON_CLUSTER} AS
WITH
    (SELECT argMax((words, places, names, kinds, own, own_words, clicked), version) FROM forebay.source_index) AS sources_now,
    toUInt16(least(bitAnd(toUInt16OrDefault(substring(replaceRegexpOne(replaceRegexpOne(replaceRegexpOne(replaceRegexpOne(replaceRegexpOne(transform(lower(trimBoth(replaceAll(toLowCardinality(utm_medium), '\x01', ''))), ['display', 'banner', 'expandable', 'interstitial', 'cpm', 'social', 'social-network', 'social-media', 'sm', 'social network', 'social media', 'ai-assistant', 'organic', 'email', 'e-mail', 'e_mail', 'e mail', 'affiliate', 'affiliates', 'audio', 'sms', 'referral', 'app', 'link'], ['\x01261', '\x01261', '\x01261', '\x01261', '\x01293', '\x01264', '\x01264', '\x01264', '\x01264', '\x01264', '\x01264', '\x01266', '\x01267', '\x01268', '\x01268', '\x01268', '\x01268', '\x01269', '\x01269', '\x01270', '\x01271', '\x01273', '\x01273', '\x01273']), '(?s)^(?:[^\x01]*cp.*|ppc|retargeting|paid.*)$', '\x01294'), '(?s)^(?:[^\x01]*video.*)$', '\x01265'), '(?s)^(?:[^\x01]*(?:mobile|notification).*|[^\x01]*push)$', '\x01272'), '(?s)^(?:[^\x01]+)$', '\x01274'), '(?s)^(?:)$', '\x0118'), 2), toUInt16(18)), 31), bitAnd(toUInt16OrDefault(substring(replaceRegexpOne(replaceRegexpOne(replaceRegexpOne(replaceRegexpOne(lower(replaceAll(toLowCardinality(utm_campaign), '\x01', '')), '(?s)^(?:[^\x01]*cross-network.*)$', '\x010'), '(?s)^(?:[(]ai-assistant[)])$', '\x0110'), '(?s)^(?:(?:[^\x01]*[^a-df-z\x01])?shop.*|[^\x01]*shopping.*)$', '\x0171'), '(?s)^(?:[^\x01]*)$', '\x0118'), 2), toUInt16(18)), 31), bitAnd(if(query = '', 18, transform(extract(query, '(?:^|&)(gclid|gbraid|wbraid|msclkid|yclid|dclid|ttclid|twclid|li_fat_id|fbclid)='), ['gclid', 'gbraid', 'wbraid', 'msclkid', 'yclid', 'dclid', 'ttclid', 'twclid', 'li_fat_id', 'fbclid'], [658, 658, 658, 1170, 1682, 2181, 2706, 3218, 3730, 4114], 18)), 31)) + bitShiftLeft(bitShiftRight(toUInt16OrDefault(substring(replaceRegexpOne(replaceRegexpOne(replaceRegexpOne(replaceRegexpOne(replaceRegexpOne(transform(lower(trimBoth(replaceAll(toLowCardinality(utm_medium), '\x01', ''))), ['display', 'banner', 'expandable', 'interstitial', 'cpm', 'social', 'social-network', 'social-media', 'sm', 'social network', 'social media', 'ai-assistant', 'organic', 'email', 'e-mail', 'e_mail', 'e mail', 'affiliate', 'affiliates', 'audio', 'sms', 'referral', 'app', 'link'], ['\x01261', '\x01261', '\x01261', '\x01261', '\x01293', '\x01264', '\x01264', '\x01264', '\x01264', '\x01264', '\x01264', '\x01266', '\x01267', '\x01268', '\x01268', '\x01268', '\x01268', '\x01269', '\x01269', '\x01270', '\x01271', '\x01273', '\x01273', '\x01273']), '(?s)^(?:[^\x01]*cp.*|ppc|retargeting|paid.*)$', '\x01294'), '(?s)^(?:[^\x01]*video.*)$', '\x01265'), '(?s)^(?:[^\x01]*(?:mobile|notification).*|[^\x01]*push)$', '\x01272'), '(?s)^(?:[^\x01]+)$', '\x01274'), '(?s)^(?:)$', '\x0118'), 2), toUInt16(18)), 5) + bitShiftRight(toUInt16OrDefault(substring(replaceRegexpOne(replaceRegexpOne(replaceRegexpOne(replaceRegexpOne(lower(replaceAll(toLowCardinality(utm_campaign), '\x01', '')), '(?s)^(?:[^\x01]*cross-network.*)$', '\x010'), '(?s)^(?:[(]ai-assistant[)])$', '\x0110'), '(?s)^(?:(?:[^\x01]*[^a-df-z\x01])?shop.*|[^\x01]*shopping.*)$', '\x0171'), '(?s)^(?:[^\x01]*)$', '\x0118'), 2), toUInt16(18)), 5) + bitShiftRight(if(query = '', 18, transform(extract(query, '(?:^|&)(gclid|gbraid|wbraid|msclkid|yclid|dclid|ttclid|twclid|li_fat_id|fbclid)='), ['gclid', 'gbraid', 'wbraid', 'msclkid', 'yclid', 'dclid', 'ttclid', 'twclid', 'li_fat_id', 'fbclid'], [658, 658, 658, 1170, 1682, 2181, 2706, 3218, 3730, 4114], 18)), 5), 5)) AS source_marks,
    replaceRegexpAll(replaceRegexpOne(substringIndex(replaceRegexpOne(lowerUTF8(trimBoth(toLowCardinality(source))), '^[a-z-]*:?//', ''), '/', 1), ':[0-9]+$', ''), '^www[.]|[.]$', '') AS source_word,
    extract(source_word, '^(?:[^.]*[.]){1}([^.]+[.].+)$') AS source_word1,
    extract(source_word, '^(?:[^.]*[.]){2}([^.]+[.].+)$') AS source_word2,
    extract(source_word, '^(?:[^.]*[.]){3}([^.]+[.].+)$') AS source_word3,
    coalesce(nullIf(transform(source_word, sources_now.1, sources_now.2, 0), 0), nullIf(transform(source_word1, sources_now.1, sources_now.2, 0), 0), nullIf(transform(source_word2, sources_now.1, sources_now.2, 0), 0), nullIf(transform(source_word3, sources_now.1, sources_now.2, 0), 0), 0) AS source_shipped,
    if(transform(source_word, sources_now.6, arrayEnumerate(sources_now.6), 0) + transform(source_word1, sources_now.6, arrayEnumerate(sources_now.6), 0) + transform(source_word2, sources_now.6, arrayEnumerate(sources_now.6), 0) + transform(source_word3, sources_now.6, arrayEnumerate(sources_now.6), 0) = 0, 0, arrayFirst(n -> n != 0, arrayConcat(arrayMap(w -> indexOf(sources_now.5, concat(toString(site), '\n', w)), arrayMap(n -> arrayStringConcat(arraySlice(splitByChar('.', toString(source_word)), n), '.'), [1, 2, 3, 4])), arrayMap(w -> indexOf(sources_now.5, concat('\n', w)), arrayMap(n -> arrayStringConcat(arraySlice(splitByChar('.', toString(source_word)), n), '.'), [1, 2, 3, 4]))))) AS source_own,
    arrayElement(sources_now.7, bitShiftRight(source_marks, 9) + 1) AS source_clicked,
    coalesce(nullIf(source_own, 0), if(source_word = '', source_clicked, source_shipped)) AS source_at,
    if(source_at = 0, toString(source_word), arrayElement(sources_now.3, source_at)) AS source_named,
    arrayElement(['Cross-network', 'Paid Shopping', 'Paid Search', 'Paid Social', 'Paid Video', 'Display', 'Paid Other', 'Organic Shopping', 'Organic Social', 'Organic Video', 'AI Assistant', 'Organic Search', 'Email', 'Affiliates', 'Audio', 'SMS', 'Mobile Push Notifications', 'Referral', 'Direct'], least(bitAnd(source_marks, 31), arrayElement([17, 6, 17, 1, 6, 6, 1, 1, 17, 6, 17, 1, 17, 6, 17, 1, 11, 2, 11, 1, 2, 2, 1, 1, 11, 2, 11, 1, 2, 2, 1, 1, 8, 3, 8, 1, 3, 3, 1, 1, 8, 3, 8, 1, 3, 3, 1, 1, 9, 4, 9, 1, 4, 4, 1, 1, 9, 4, 9, 1, 4, 4, 1, 1, 7, 1, 7, 1, 1, 1, 1, 1, 7, 1, 7, 1, 1, 1, 1, 1, 10, 6, 10, 1, 6, 6, 1, 1, 10, 6, 10, 1, 10, 6, 10, 1, 12, 6, 12, 1, 6, 6, 1, 1, 12, 6, 12, 1, 12, 6, 12, 1, 13, 6, 13, 1, 6, 6, 1, 1, 13, 6, 13, 1, 13, 6, 13, 1, 14, 6, 14, 1, 6, 6, 1, 1, 14, 6, 14, 1, 14, 6, 14, 1, 15, 6, 15, 1, 6, 6, 1, 1, 15, 6, 15, 1, 15, 6, 15, 1, 16, 6, 16, 1, 6, 6, 1, 1, 16, 6, 16, 1, 16, 6, 16, 1, 5, 5, 5, 1, 5, 5, 1, 1, 5, 5, 5, 1, 5, 5, 5, 1, 17, 6, 17, 1, 6, 6, 1, 1, 17, 6, 17, 1, 17, 6, 17, 1, 18, 6, 18, 1, 6, 6, 1, 1, 18, 6, 18, 1, 18, 6, 18, 1], 16 * arrayElement(sources_now.4, source_at) + bitAnd(bitShiftRight(source_marks, 5), 15) + 1)) + 1) AS source_channel
SELECT site, session_id, visitor_id, started_at, ended_at, seconds, events, pageviews, custom_events, engaged_ms, is_bounce, entry_hostname, entry_path, exit_hostname, exit_path, source, referrer, query, utm_source, utm_medium, utm_campaign, utm_term, utm_content, country, region, city, language, browser, browser_version, os, os_version, device, screen_class, first_visitor, last_visitor, first_active_at, last_active_at, bot, is_visit, source_named AS source_name, source_channel AS channel
FROM forebay.sessions;

CREATE OR REPLACE VIEW forebay.v_sessions ${ON_CLUSTER} AS
SELECT site, session_id, visitor_id, started_at, ended_at, seconds, events, pageviews, custom_events, engaged_ms, is_bounce, entry_hostname, entry_path, exit_hostname, exit_path, source, referrer, query, utm_source, utm_medium, utm_campaign, utm_term, utm_content, country, region, city, language, browser, browser_version, os, os_version, device, screen_class, first_visitor, last_visitor, first_active_at, last_active_at, source_name, channel
FROM forebay.named_sessions WHERE bot = '' AND is_visit = 1;

ALTER TABLE forebay.named_sessions ${ON_CLUSTER}
    COMMENT COLUMN IF EXISTS `source_name` 'Name of the source: of the lists in forebay.sources, else source in small letters',
    COMMENT COLUMN IF EXISTS `channel` 'Acquisition channel, by the rules of GA4 as of May 2026 (docs/channels.md)';

ALTER TABLE forebay.v_sessions ${ON_CLUSTER}
    COMMENT COLUMN IF EXISTS `source_name` 'Name of the source: of the lists in forebay.sources, else source in small letters',
    COMMENT COLUMN IF EXISTS `channel` 'Acquisition channel, by the rules of GA4 as of May 2026 (docs/channels.md)';
