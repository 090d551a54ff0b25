-- title: Visits by duration
-- answers: How many visits lasted how long. `bucket` is the least number of seconds: 0 is less than a second, 1 is 1 to 9 seconds, then
--   10 to 29, 30 to 59, 60 to 179, 180 to 599, 600 to 1799, and 1800 or more. Each of the eight has a row, also if it is empty.
-- leaves out: what looks automated, unless `bots` is 1; sessions without an act.
-- parameters: site String, first_session UInt64, end_session UInt64, zone String, since Date, until Date, before UInt32, bots UInt8
-- columns: bucket UInt16, visits UInt64
-- dimensions: none
-- filters: session
-- seconds: 10
-- example: site=hand.example zone=Asia/Kathmandu since=2026-03-01 until=2026-03-31
SELECT a.bucket AS bucket, sum(a.n) AS visits
FROM
(
    SELECT toUInt16(roundDown(v.seconds, [0, 1, 10, 30, 60, 180, 600, 1800])) AS bucket, count() AS n
    FROM
    (
        /*visits:*/
        WITH (1, s.started_at) AS part
        SELECT s.seconds AS seconds
        FROM forebay.sessions AS s
        WHERE s.site = {site:String} AND s.session_id >= {first_session:UInt64} AND s.session_id < {end_session:UInt64}
            AND toDate(part.2, {zone:String}) BETWEEN {since:Date} AND {until:Date} AND part.2 < toDateTime({before:UInt32}, 'UTC')
            AND s.is_visit AND ({bots:UInt8} OR s.bot = '')
            AND /*filter*/ 1 /*end*/
        /*:visits*/
    ) AS v
    GROUP BY bucket
    UNION ALL
    SELECT toUInt16(arrayJoin([0, 1, 10, 30, 60, 180, 600, 1800])) AS bucket, toUInt64(0) AS n
) AS a
GROUP BY a.bucket
ORDER BY a.bucket
