-- What every process that verifies tokens asks: the sessions and keys that ended in the last 15 minutes, which is longer
-- than an access token lives. It asks as the reader of logs, who sees nothing else of ours.

CREATE FUNCTION ended_sessions() RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
BEGIN ATOMIC
    SELECT id::text FROM session WHERE revoked_at > now() - interval '15 minutes'
    UNION ALL SELECT id::text FROM api_key WHERE revoked_at > now() - interval '15 minutes';
END;

REVOKE EXECUTE ON FUNCTION ended_sessions() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ended_sessions() TO tradepost_log;
