-- What people query: without what looks automated.
CREATE OR REPLACE VIEW forebay.v_events ${ON_CLUSTER} AS
SELECT * FROM forebay.events WHERE bot = '';

CREATE OR REPLACE VIEW forebay.v_pageviews ${ON_CLUSTER} AS
SELECT * FROM forebay.events WHERE bot = '' AND name = 'pageview';

CREATE OR REPLACE VIEW forebay.v_sessions ${ON_CLUSTER} AS
SELECT
    site,
    session_id,
    any(s.visitor_id) AS visitor_id,
    min(s.started_at) AS started_at,
    max(s.ended_at) AS ended_at,
    dateDiff('second', started_at, ended_at) AS seconds,
    min(s.entry).2 AS entry_path,
    max(s.exit).2 AS exit_path,
    min(s.first_source).2 AS source,
    max(s.country) AS country,
    max(s.browser) AS browser,
    max(s.os) AS os,
    max(s.device) AS device,
    sum(s.events) AS events,
    sum(s.pageviews) AS pageviews,
    sum(s.engaged_ms) AS engaged_ms,
    pageviews <= 1 AND events <= 1 AND engaged_ms < 10000 AS is_bounce
FROM forebay.sessions AS s
GROUP BY site, session_id
HAVING max(s.bot) = '';
