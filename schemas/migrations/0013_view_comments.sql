-- What the views have beside the columns of events and sessions, whose comments they are given (forebay/migrate.py).
ALTER TABLE forebay.v_sessions ${ON_CLUSTER}
    COMMENT COLUMN IF EXISTS seconds 'From the first moment to the last',
    COMMENT COLUMN IF EXISTS entry_path 'Path of the first event',
    COMMENT COLUMN IF EXISTS exit_path 'Path of the last event',
    COMMENT COLUMN IF EXISTS source 'Source of the first event: as in events',
    COMMENT COLUMN IF EXISTS is_bounce '1 when there was one pageview, no other event, and less than ten seconds of engagement';
