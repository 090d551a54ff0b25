-- title: Retention
-- answers: Of the people who were seen for the first time on a day, in a week or in a month (`unit`; `cohort` is its first day),
--   how many came again so many days, weeks or months later (`age`). Age 0 is the cohort itself.
-- leaves out: everybody without a `user`, because nobody can tell that visitors of two days are one person; people who were seen
--   before the period (with a filter: in events that fit it); what looks automated, unless `bots` is 1; events that are no acts.
-- parameters: unit String, site String, bots UInt8, last_day Date, zone String, since Date, until Date, before UInt32
-- columns: cohort Date, age UInt16, people UInt64
-- dimensions: none
-- filters: row
-- seconds: 30
-- example: site=hand.example zone=Asia/Kathmandu since=2026-03-01 until=2026-03-31 unit=week
SELECT p.cohort AS cohort, toUInt16(dateDiff({unit:String}, p.cohort, again)) AS age, count() AS people
FROM
(
    WITH
        toDate(toStartOfFifteenMinutes(e.ts), {zone:String}) AS day,
        multiIf({unit:String} = 'week', toMonday(day), {unit:String} = 'month', toStartOfMonth(day), day) AS came
    SELECT groupUniqArray(came) AS all_came, min(came) AS cohort
    FROM forebay.events AS e
    WHERE e.site = {site:String} AND ({bots:UInt8} OR e.bot = '') AND toDate(e.ts) <= {last_day:Date}
        AND day <= {until:Date}
        AND toStartOfFifteenMinutes(e.ts) < toDateTime({before:UInt32}, 'UTC')
        AND /*filter*/ 1 /*end*/
        AND e.user_id != '' AND e.name NOT IN ('engagement', 'vitals', 'identify', 'alias', 'group')
    GROUP BY e.user_id
    HAVING min(day) >= {since:Date}
) AS p
ARRAY JOIN p.all_came AS again
GROUP BY cohort, age
ORDER BY cohort, age
