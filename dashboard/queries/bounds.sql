-- title: First and last event
-- answers: When a site's first and last event were, to a quarter of an hour, how many events there are in all, and in which currencies money came in.
-- leaves out: nothing. Bots count here, and so do events that are no acts: it says whether events arrive.
-- parameters: site String
-- columns: first_event UInt32, last_event UInt32, events UInt64, currencies Array(String)
-- dimensions: none
-- filters: none
-- seconds: 5
-- example: site=hand.example
SELECT
    toUInt32(toUnixTimestamp(min(a.quarter))) AS first_event,
    toUInt32(toUnixTimestamp(max(a.quarter))) AS last_event,
    sum(a.n) AS events,
    arraySort(groupUniqArrayIf(toString(a.currency), a.currency != '')) AS currencies
FROM
(
    SELECT toStartOfFifteenMinutes(e.ts) AS quarter, e.currency AS currency, count() AS n
    FROM forebay.events AS e
    WHERE e.site = {site:String}
    GROUP BY quarter, currency
) AS a
