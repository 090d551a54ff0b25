-- Takes what events takes and keeps nothing: the rows of a refused block that ClickHouse will never take are found with it. A
-- later column of events is a later column of this table too.
CREATE TABLE IF NOT EXISTS forebay.probe ${ON_CLUSTER} AS forebay.events ENGINE = Null;
