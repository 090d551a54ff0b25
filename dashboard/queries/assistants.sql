-- title: AI assistants
-- answers: Which AI assistants (ChatGPT, Perplexity) sent people to the site, how many people, how often, and to how many different pages.
-- leaves out: what looks automated, unless `bots` is 1 (`visitors` are of people in any case); people who followed a link that an
--   assistant gave them without saying so. AI crawlers are in `crawlers`.
-- parameters: bots UInt8, zone String, site String, first_session UInt64, end_session UInt64, since Date, until Date,
--   before UInt32, first_day Date, last_day Date, limit UInt32, offset UInt32
-- columns: source_name String, visitors UInt64, visits UInt64, entry_pages UInt64
-- dimensions: none
-- filters: session
-- seconds: 10
-- example: site=hand.example zone=Asia/Kathmandu since=2026-03-01 until=2026-03-31 limit=10 offset=0
WITH
    -- A visit counts on the day on which it began. So do its visitors, but over midnight each counts on the day of what it did.
    part.1 AND s.is_visit AND ({bots:UInt8} OR s.bot = '') AS is_counted
SELECT
    s.source_name AS source_name,
    uniqExactIf(part.3, part.3 != 0) AS visitors,
    countIf(is_counted) AS visits,
    uniqExactIf(s.entry_path, is_counted AND s.entry_path != '') AS entry_pages
FROM forebay.named_sessions AS s
ARRAY JOIN if(
    s.first_visitor = s.last_visitor AND toDate(s.last_active_at, {zone:String}) = toDate(s.started_at, {zone:String}),
    [(1, s.started_at, s.first_visitor)],
    [(1, s.started_at, 0), (0, s.first_active_at, s.first_visitor), (0, s.last_active_at, s.last_visitor)]) AS part
WHERE s.site = {site:String} AND s.session_id >= {first_session:UInt64} AND s.session_id < {end_session:UInt64}
    AND toDate(part.2, {zone:String}) BETWEEN {since:Date} AND {until:Date} AND part.2 < toDateTime({before:UInt32}, 'UTC')
    AND s.channel = 'AI Assistant'
    AND s.session_id IN (
        SELECT u.session_id FROM forebay.events AS u
        WHERE u.site = {site:String} AND toDate(u.ts) BETWEEN {first_day:Date} - 1 AND {last_day:Date} + 1
            AND (u.source != '' OR u.utm_medium != '' OR u.utm_campaign != '')
    )
    AND /*filter*/ 1 /*end*/
GROUP BY source_name
HAVING visitors > 0 OR visits > 0
ORDER BY /*order*/ visitors DESC, source_name /*end*/
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
