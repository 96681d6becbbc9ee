-- One per database: the ticks over the logs of all its schemas.

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
CREATE FUNCTION log.news(before pg_snapshot, current int) RETURNS text[] LANGUAGE sql AS 'SELECT ''{}''::text[]';

CREATE FUNCTION log.add_source(source text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    checks text;
BEGIN
    INSERT INTO log.source (name) VALUES (source) ON CONFLICT DO NOTHING;
    SELECT string_agg(format(
        'CASE WHEN EXISTS (SELECT FROM %1$I.event WHERE epoch = current AND xid >= pg_snapshot_xmax(before))
                OR EXISTS (SELECT FROM %1$I.event
                           WHERE epoch = current AND xid = ANY (ARRAY(SELECT pg_snapshot_xip(before))))
              THEN %1$L END', name), ', ' ORDER BY name) INTO checks FROM log.source;
    EXECUTE format('CREATE OR REPLACE FUNCTION log.news(before pg_snapshot, current int) RETURNS text[] LANGUAGE plpgsql AS
        ''BEGIN RETURN array_remove(ARRAY[%s], NULL); END''', replace(checks, '''', ''''''));
END $$;

-- Take the lock in one statement and the snapshot in the next: a snapshot taken before the lock was granted
-- would not show what the tick that held the lock has shown.
CREATE FUNCTION log.tick() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    last log.tick;
    fresh text[];
BEGIN
    PERFORM pg_advisory_xact_lock(7238113970);
    SELECT * INTO last FROM log.tick ORDER BY id DESC LIMIT 1;
    fresh := log.news(last.snapshot, last.epoch);
    IF fresh = '{}' THEN
        RETURN NULL;
    END IF;
    INSERT INTO log.tick (id, previous, epoch, snapshot, sources)
    VALUES (last.id + 1, last.id, last.epoch, pg_current_snapshot(), fresh);
    PERFORM pg_notify('tradepost_tick', (last.id + 1)::text);
    RETURN last.id + 1;
END $$;

CREATE FUNCTION log.report(source text, reader text, first_slot smallint, tick bigint)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
    INSERT INTO log.reader (source, "group", first_slot, tick) VALUES ($1, $2, $3, $4)
    ON CONFLICT (source, "group", first_slot) DO UPDATE SET tick = excluded.tick, at = clock_timestamp()
$$;

-- Partitions ahead of the newest event of `source`, so that an insert never meets a missing one. How many were made.
CREATE FUNCTION log.extend(source text, size bigint, ahead int)
RETURNS int LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    newest bigint;
    low bigint;
    made int := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(7238113971);
    EXECUTE format('SELECT COALESCE(max(id), 0) FROM %I.event', source) INTO newest;
    FOR step IN 0 .. ahead LOOP
        low := (newest / size + step) * size;
        IF to_regclass(format('%I.%I', source, 'event_' || low)) IS NULL THEN
            EXECUTE format('CREATE TABLE %1$I.%2$I PARTITION OF %1$I.event FOR VALUES FROM (%3$s) TO (%4$s)',
                           source, 'event_' || low, low, low + size);
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END $$;

-- Whether this is the cluster that the present epoch was written in: after a dump and restore it is not.
CREATE FUNCTION log.same_system() RETURNS boolean LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT epoch.system_identifier = control.system_identifier
    FROM log.epoch, pg_control_system() AS control ORDER BY epoch DESC LIMIT 1
$$;
