-- title: Bots by reason
-- answers: How many events look automated for each reason, and how many for that reason alone. docs/bots.md has the reasons.
-- leaves out: people, also those for whom a reason speaks that is too weak by itself.
-- parameters: site String, first_day Date, last_day Date, zone String, since Date, until Date, before UInt32
-- columns: word String, meaning String, with_it UInt64, it_alone UInt64
-- dimensions: none
-- filters: row
-- seconds: 10
-- example: site=hand.example zone=Asia/Kathmandu since=2026-03-01 until=2026-03-31
SELECT
    r.word AS word,
    r.meaning AS meaning,
    sumIf(a.n, bitAnd(a.reasons, r.bit) != 0 OR a.only = r.word) AS with_it,
    sumIf(a.n, a.reasons = r.bit OR a.only = r.word) AS it_alone
FROM
(
    SELECT e.bot_reasons AS reasons, if(e.bot_reasons = 0, toString(e.bot), '') AS only, count() AS n
    FROM forebay.events AS e
    WHERE e.site = {site:String} AND e.bot != '' AND toDate(e.ts) BETWEEN {first_day:Date} AND {last_day:Date}
        AND toDate(toStartOfFifteenMinutes(e.ts), {zone:String}) BETWEEN {since:Date} AND {until:Date}
        AND toStartOfFifteenMinutes(e.ts) < toDateTime({before:UInt32}, 'UTC')
        AND /*filter*/ 1 /*end*/
    GROUP BY reasons, only
) AS a
CROSS JOIN forebay.bot_reasons AS r
GROUP BY word, meaning
HAVING with_it > 0
ORDER BY with_it DESC, word
