-- One per database: the ticks over the logs of all its schemas. Applied once; what computes is in functions.sql.

CREATE SCHEMA IF NOT EXISTS log;
CREATE SCHEMA IF NOT EXISTS extension;

CREATE TABLE log.epoch (
    epoch int PRIMARY KEY,
    system_identifier bigint NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE log.source (name text PRIMARY KEY);

CREATE TABLE log.tick (
    id bigint PRIMARY KEY,
    uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    previous bigint,
    epoch int NOT NULL REFERENCES log.epoch,
    snapshot pg_snapshot NOT NULL,
    sources text[] NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- How far each reader has come, told by itself: retention never passes one.
CREATE TABLE log.reader (
    source text NOT NULL,
    "group" text NOT NULL,
    first_slot smallint NOT NULL,
    tick bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (source, "group", first_slot)
);

INSERT INTO log.epoch (epoch, system_identifier) SELECT 1, system_identifier FROM pg_control_system();
INSERT INTO log.tick (id, previous, epoch, snapshot, sources) VALUES (1, NULL, 1, pg_current_snapshot(), '{}');

-- The sources with an event that `before` does not show. Made anew whenever a source is added.
CREATE FUNCTION log.news(before pg_snapshot, current int) RETURNS text[] LANGUAGE sql STABLE AS 'SELECT ''{}''::text[]';
