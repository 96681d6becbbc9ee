-- Applied by every migration, so that a database keeps up with the version that runs on it.

-- `news` is STABLE: it must look through the very snapshot that the tick stores. Seen through an older one, an event
-- that commits in between would be shown by the tick and missing from its sources, and readers would pass it over.
CREATE OR REPLACE FUNCTION log.add_source(source text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    checks text;
BEGIN
    INSERT INTO log.source (name) VALUES (source) ON CONFLICT DO NOTHING;
    IF FOUND THEN
        EXECUTE format('ALTER TABLE %I.event ALTER epoch SET DEFAULT %s', source, (SELECT max(epoch) FROM log.epoch));
    END IF;
    SELECT string_agg(format(
        'CASE WHEN EXISTS (SELECT FROM %1$I.event WHERE epoch = current AND xid >= pg_snapshot_xmax(before))
                OR EXISTS (SELECT FROM %1$I.event
                           WHERE epoch = current AND xid = ANY (ARRAY(SELECT pg_snapshot_xip(before))))
              THEN %1$L END', name), ', ' ORDER BY name) INTO checks FROM log.source;
    EXECUTE format('CREATE OR REPLACE FUNCTION log.news(before pg_snapshot, current int) RETURNS text[]
        LANGUAGE plpgsql STABLE AS
        ''BEGIN RETURN array_remove(ARRAY[%s], NULL); END''', replace(checks, '''', ''''''));
END $$;

-- Take the lock in one statement and the snapshot in the next: a snapshot taken before the lock was granted
-- would not show what the tick that held the lock has shown.
CREATE OR REPLACE FUNCTION log.make_tick() RETURNS SETOF log.tick
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    last log.tick;
    made log.tick;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE 'a tick needs READ COMMITTED, since it takes its snapshot after its lock';
    END IF;
    IF current_setting('synchronous_commit') = 'off' THEN  -- what a tick shows must survive a crash
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    PERFORM pg_advisory_xact_lock(7238113970);
    SELECT * INTO last FROM log.tick ORDER BY id DESC LIMIT 1;
    WITH seen AS MATERIALIZED (
        SELECT pg_current_snapshot() AS snapshot, log.news(last.snapshot, last.epoch) AS sources
    )
    INSERT INTO log.tick (id, previous, epoch, snapshot, sources)
    SELECT last.id + 1, last.id, last.epoch, seen.snapshot, seen.sources FROM seen WHERE seen.sources <> '{}'
    RETURNING * INTO made;
    IF made.id IS NOT NULL THEN
        PERFORM pg_notify('tradepost_tick', made.id::text);
        RETURN NEXT made;
    END IF;
END $$;

-- The number of the tick that was made, if any.
CREATE OR REPLACE FUNCTION log.tick() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS 'SELECT id FROM log.make_tick()';

CREATE OR REPLACE FUNCTION log.report(source text, reader text, first_slot smallint, tick bigint)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
    INSERT INTO log.reader (source, "group", first_slot, tick) VALUES ($1, $2, $3, $4)
    ON CONFLICT (source, "group", first_slot) DO UPDATE SET tick = excluded.tick, at = clock_timestamp()
$$;

-- A reader that is no more, so that retention does not wait for it.
CREATE OR REPLACE FUNCTION log.forget(source text, reader text, first_slot smallint)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
    DELETE FROM log.reader AS gone WHERE gone.source = $1 AND gone."group" = $2 AND gone.first_slot = $3
$$;

-- The tick from which the relay publishes, chosen once: the first that is kept, unless others read the log already.
CREATE OR REPLACE FUNCTION log.hand_over(source text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO log.reader (source, "group", first_slot, tick)
    SELECT $1, 'relay', 0, CASE WHEN EXISTS (SELECT FROM log.reader AS other WHERE other.source = $1)
                                THEN max(tick.id) ELSE min(tick.id) END
    FROM log.tick
    ON CONFLICT DO NOTHING;
    RETURN (SELECT reader.tick FROM log.reader WHERE reader.source = $1 AND reader."group" = 'relay'
            ORDER BY first_slot LIMIT 1);
END $$;

-- The partitions of a log: ids from `low` to below `high`.
CREATE OR REPLACE FUNCTION log.partitions(source text)
RETURNS TABLE (name text, low bigint, high bigint, detaching boolean) LANGUAGE sql STABLE AS $$
    SELECT part.relname::text, bound[1]::bigint, bound[2]::bigint, inhdetachpending
    FROM pg_inherits
    JOIN pg_class AS part ON part.oid = inhrelid
    CROSS JOIN LATERAL regexp_match(pg_get_expr(part.relpartbound, part.oid), '\(''(\d+)''\) TO \(''(\d+)''\)') AS bound
    WHERE inhparent = format('%I.event', source)::regclass
    ORDER BY bound[1]::bigint
$$;

-- The newest id that was drawn. Ids of transactions that were rolled back count, too.
CREATE OR REPLACE FUNCTION log.newest_id(source text) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT COALESCE(pg_sequence_last_value(pg_get_serial_sequence(format('%I.event', source), 'id')::regclass), 0)
$$;

-- Partitions ahead of the newest id of `source`, so that an insert never meets a missing one. How many were made.
-- They are attached, not created in place: that would wait for every open writer, and all others behind it.
CREATE OR REPLACE FUNCTION log.extend(source text, size bigint, ahead int)
RETURNS int LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    newest bigint;
    low bigint;
    made int := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(7238113971);
    newest := log.newest_id(source);
    SELECT COALESCE(max(part.high), newest / size * size) INTO low FROM log.partitions(source) AS part;
    WHILE low <= newest + ahead * size LOOP
        EXECUTE format('CREATE TABLE %1$I.%2$I (LIKE %1$I.event INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)',
                       source, 'event_' || low);
        EXECUTE format('ALTER TABLE %1$I.event ATTACH PARTITION %1$I.%2$I FOR VALUES FROM (%3$s) TO (%4$s)',
                       source, 'event_' || low, low, low + size);
        low := low + size;
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;

-- Whether this is the cluster that the present epoch was written in: after a dump and restore it is not.
CREATE OR REPLACE FUNCTION log.same_system() RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT epoch.system_identifier = control.system_identifier
    FROM log.epoch, pg_control_system() AS control ORDER BY epoch DESC LIMIT 1
$$;

-- Close the present epoch with a tick that shows everything in it, and open the next. Returns the closing tick.
-- The logs are locked, so that every event lies in one epoch entirely.
CREATE OR REPLACE FUNCTION log.open_epoch() RETURNS log.tick LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    last log.tick;
    closing log.tick;
    name text;
    newest xid8;
    highest xid8;
    beyond text;
BEGIN
    PERFORM pg_advisory_xact_lock(7238113970);
    SELECT * INTO last FROM log.tick ORDER BY id DESC LIMIT 1;
    highest := pg_snapshot_xmax(last.snapshot);
    INSERT INTO log.epoch (epoch, system_identifier)
    SELECT last.epoch + 1, system_identifier FROM pg_control_system();
    FOR name IN SELECT source.name FROM log.source ORDER BY source.name LOOP
        EXECUTE format('LOCK TABLE %I.event IN ACCESS EXCLUSIVE MODE', name);
        EXECUTE format('SELECT max(xid) FROM %I.event WHERE epoch = $1', name) INTO newest USING last.epoch;
        highest := GREATEST(highest, newest);
        EXECUTE format('ALTER TABLE %I.event ALTER epoch SET DEFAULT %s', name, last.epoch + 1);
    END LOOP;
    beyond := (highest::text::bigint + 1)::text;
    INSERT INTO log.tick (id, previous, epoch, snapshot, sources)
    VALUES (last.id + 1, last.id, last.epoch, format('%s:%s:', beyond, beyond)::pg_snapshot,
            ARRAY(SELECT source.name FROM log.source ORDER BY source.name))
    RETURNING * INTO closing;
    INSERT INTO log.tick (id, previous, epoch, snapshot, sources)
    VALUES (last.id + 2, last.id + 1, last.epoch + 1, pg_current_snapshot(), '{}');
    PERFORM pg_notify('tradepost_tick', (last.id + 2)::text);
    RETURN closing;
END $$;

-- The inbox of a schema: a partition for each day, by the time in the events' ids (UUIDv7), made ahead and dropped
-- when old. How many were made. What lies outside of all days goes to the partition `inbox_rest`.
CREATE OR REPLACE FUNCTION log.keep_inbox(schema text, days_kept int, days_ahead int) RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    day date;
    part text;
    made int := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(7238113972);
    FOR part IN SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
                WHERE inhparent = format('%I.inbox', schema)::regclass AND relname ~ '^inbox_[0-9]{8}$'
                  AND to_date(substr(relname, 7), 'YYYYMMDD') < today - days_kept LOOP
        EXECUTE format('DROP TABLE %I.%I', schema, part);
    END LOOP;
    FOR ahead IN 0 .. days_kept + days_ahead LOOP
        day := today - days_kept + ahead;
        part := 'inbox_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass(format('%I.%I', schema, part)) IS NOT NULL;
        BEGIN
            EXECUTE format('CREATE TABLE %I.%I PARTITION OF %I.inbox FOR VALUES FROM (%L) TO (%L)',
                           schema, part, schema, log.first_id(day), log.first_id(day + 1));
            made := made + 1;
        EXCEPTION WHEN check_violation THEN
            NULL;  -- nobody looked for days, and ids of that day lie in `inbox_rest`: they stay together there
        END;
    END LOOP;
    EXECUTE format('DELETE FROM %I.inbox_rest WHERE event_id < %L', schema, log.first_id(today - 30));
    RETURN made;
END $$;

-- The lowest UUIDv7 of a day in UTC.
CREATE OR REPLACE FUNCTION log.first_id(day date) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM day::timestamp AT TIME ZONE 'UTC') * 1000)::bigint), 12, '0')
            || repeat('0', 20))::uuid
$$;
