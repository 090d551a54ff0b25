-- title: Events by what they have
-- answers: How many visitors, visits, pageviews and events there were, by page, host name, name of the event, goal, property, or by
--   anything else that an event has. `everybody` are the visitors of all rows together, each once.
-- leaves out: what looks automated, unless `bots` is 1; events that are no acts. A visit counts where it has an event, if it began within
--   the period and none of its events looks automated.
-- parameters: bots UInt8, site String, first_day Date, last_day Date, begins UInt32, zone String, since Date, until Date, before UInt32, limit UInt32, offset UInt32
-- columns: d Dimension, visitors UInt64, everybody UInt64, visits UInt64, pageviews UInt64, events UInt64
-- dimensions: row
-- filters: row
-- seconds: 10
-- example: site=hand.example zone=Asia/Kathmandu since=2026-03-01 until=2026-03-31 limit=10 offset=0
WITH uniqExactIfState(e.visitor, e.is_compared) AS people
SELECT
    /*dimension*/ e.site /*end*/ AS d,
    -- Of sums (dashboard/catalogue/copies.py) most visitors are known to be nowhere else, and need not be compared.
    toUInt64(sum(e.visitors) + finalizeAggregation(people)) AS visitors,
    toUInt64(sum(sum(e.leading)) OVER () + uniqExactIfMerge(people) OVER ()) AS everybody,
    sum(e.visits) + uniqExactIf(e.visit, e.is_visit) AS visits,
    sum(e.pageviews) AS pageviews,
    sum(e.events) AS events
FROM
(
    /*acts:*/
    WITH
        r.session_id NOT IN (
            SELECT b.session_id FROM forebay.events AS b
            WHERE b.site = {site:String} AND b.bot != '' AND toDate(b.ts) BETWEEN {first_day:Date} - 1 AND {last_day:Date} + 1
        ) AS is_of_people,
        r.session_id NOT IN (
            SELECT b.session_id FROM forebay.events AS b
            WHERE b.site = {site:String} AND b.ts < toDateTime({begins:UInt32}, 'UTC') AND toDate(b.ts) BETWEEN {first_day:Date} - 1 AND {first_day:Date}
        ) AS has_begun
    SELECT
        toInt64(0) AS visitors,
        toInt64(0) AS leading,
        r.visitor_id AS visitor,
        1 AS is_compared,
        toUInt64(0) AS visits,
        r.session_id AS visit,
        ({bots:UInt8} OR is_of_people) AND has_begun AS is_visit,
        toUInt64(r.name = 'pageview') AS pageviews,
        toUInt64(1) AS events,
        r.site AS site,
        r.ts AS ts,
        r.session_id AS session_id,
        r.hostname AS hostname,
        r.path AS path,
        r.name AS name,
        r.props AS props,
        r.bot AS bot,
        r.bot_name AS bot_name,
        r.bot_purpose AS bot_purpose,
        r.country AS country,
        r.region AS region,
        r.city AS city,
        r.device AS device,
        r.screen_class AS screen_class,
        r.browser AS browser,
        r.browser_version AS browser_version,
        r.os AS os,
        r.os_version AS os_version,
        r.language AS language
    FROM forebay.events AS r
    WHERE r.site = {site:String} AND ({bots:UInt8} OR r.bot = '') AND toDate(r.ts) BETWEEN {first_day:Date} AND {last_day:Date}
        AND toDate(toStartOfFifteenMinutes(r.ts), {zone:String}) BETWEEN {since:Date} AND {until:Date}
        AND toStartOfFifteenMinutes(r.ts) < toDateTime({before:UInt32}, 'UTC')
        AND r.name NOT IN ('engagement', 'vitals', 'identify', 'alias', 'group')
    /*:acts*/
) AS e
WHERE /*filter*/ 1 /*end*/
GROUP BY d
ORDER BY /*order*/ visitors DESC, d /*end*/
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
