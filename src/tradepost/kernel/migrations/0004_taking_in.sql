-- Begin to take in what a broker brought for the group, and note it: `fresh` are those of `ids` that were new, `waits`
-- says whether events of the group are parked. All is NULL when the group has to read the log first. A function, since
-- each statement in it sees what was committed until the one before it had its lock, and one round trip is enough.
CREATE FUNCTION take_in(reader text, ids uuid[], OUT waits boolean, OUT fresh text[]) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(reader, 1));  -- 1: services lock with 0
    IF EXISTS (SELECT FROM cursor WHERE "group" = reader) THEN
        RETURN;
    END IF;
    waits := EXISTS (SELECT FROM parked WHERE "group" = reader);
    WITH taken AS (  -- in the order of ids, so that two that take the same events wait for each other, not collide
        INSERT INTO inbox (event_id, "group") SELECT id, reader FROM unnest(ids) AS new (id) ORDER BY id
        ON CONFLICT DO NOTHING RETURNING event_id
    )
    SELECT COALESCE(array_agg(event_id::text), '{}') INTO fresh FROM taken;
END $$;
