-- Whether the group may go on with what a broker brings and look at nothing else: nothing of it is parked, and there is
-- no log to read first. Whoever retries parked events, or has it read again, waits from now on. A function, so that it
-- sees what was committed until it had the lock.
CREATE FUNCTION admitted(reader text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(reader, 1));  -- 1: services lock with 0
    RETURN NOT EXISTS (SELECT FROM cursor WHERE "group" = reader)
       AND NOT EXISTS (SELECT FROM parked WHERE "group" = reader);
END $$;
