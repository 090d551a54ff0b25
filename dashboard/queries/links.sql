-- title: Outbound links, downloads and forms
-- answers: Which links were followed, files downloaded or forms sent: `name` is `Outbound Link: Click`, `File Download` or
--   `Form: Submission`. An event of a form has its page as `url`, with the form's name behind a `#`. The page is the event's
--   property `path`, or the path of its URL where it has none.
-- leaves out: what looks automated, unless `bots` is 1.
-- parameters: name String, site String, bots UInt8, first_day Date, last_day Date, zone String, since Date, until Date, before UInt32, limit UInt32, offset UInt32
-- columns: url String, visitors UInt64, events UInt64
-- dimensions: none
-- filters: row
-- seconds: 10
-- example: site=hand.example zone=Asia/Kathmandu since=2026-03-01 until=2026-03-31 name='Outbound Link: Click' limit=10 offset=0
SELECT
    multiIf(
        e.props['url'] != '', e.props['url'],
        e.props['form'] != '', concat(if(e.props['path'] = '', e.path, e.props['path']) AS page, '#', e.props['form']),
        page
    ) AS url,
    uniqExact(e.visitor_id) AS visitors,
    count() AS events
FROM forebay.events AS e
WHERE e.site = {site:String} AND ({bots:UInt8} OR e.bot = '') AND toDate(e.ts) BETWEEN {first_day:Date} AND {last_day:Date}
    AND toDate(toStartOfFifteenMinutes(e.ts), {zone:String}) BETWEEN {since:Date} AND {until:Date}
    AND toStartOfFifteenMinutes(e.ts) < toDateTime({before:UInt32}, 'UTC')
    AND /*filter*/ 1 /*end*/
    AND e.name = {name:String}
GROUP BY url
ORDER BY /*order*/ visitors DESC, url /*end*/
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
