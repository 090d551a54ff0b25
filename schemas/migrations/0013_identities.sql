-- Who was who: the visitors under which a person whom you identify was seen, so that earlier visits can be joined to the person in SQL.
--
-- Every event with a `user` says it, whatever its name. An alias says besides which user the person was before (`previous_id`). People whose
-- visitors are hashes of a day (docs/visits.md) have one for each day on which an event named them; the visitors of SDKs that number
-- theirs stay the same.
CREATE OR REPLACE VIEW forebay.identities ${ON_CLUSTER}
(
    `site`        LowCardinality(String) COMMENT 'The site',
    `visitor_id`  UInt64 COMMENT 'A visitor, as in events',
    `user_id`     String COMMENT 'The person, as in events',
    `previous_id` String COMMENT 'The user that an alias says the person was before; else empty',
    `dialect`     LowCardinality(String) COMMENT 'As in events: by which family of clients it was said',
    `first_at`    DateTime64(3, 'UTC') COMMENT 'First moment at which an event said it',
    `last_at`     DateTime64(3, 'UTC') COMMENT 'Last moment at which an event said it',
    `events`      UInt64 COMMENT 'How many events said it'
)
AS SELECT
    e.site AS site,
    e.visitor_id AS visitor_id,
    e.user_id AS user_id,
    if(e.name = 'alias', e.props['previous_id'], '') AS previous_id,
    e.dialect AS dialect,
    min(e.ts) AS first_at,
    max(e.ts) AS last_at,
    count() AS events
FROM forebay.events AS e
WHERE e.user_id != ''
GROUP BY site, visitor_id, user_id, previous_id, dialect
COMMENT 'Which visitors a person was, by what events say; a person has a row for each visitor and dialect';
