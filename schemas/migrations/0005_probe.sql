-- Takes what events takes and keeps nothing: a refused block is bisected against it (delivery.md, rule 6).
CREATE TABLE IF NOT EXISTS forebay.probe ${ON_CLUSTER} AS forebay.events ENGINE = Null;
