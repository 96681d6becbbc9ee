-- The service's own log, its positions in the logs of others, and what it could not digest.

CREATE TABLE event (
    id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    epoch int NOT NULL DEFAULT 1,
    event_id uuid NOT NULL,
    type text NOT NULL,
    key text NOT NULL,
    slot smallint NOT NULL CHECK (slot BETWEEN 0 AND 15),
    sequence bigint NOT NULL CHECK (sequence > 0),
    at timestamptz NOT NULL,
    correlation_id text NOT NULL,
    causation_id uuid,
    traceparent text,
    bytes int NOT NULL,
    data json NOT NULL
) PARTITION BY RANGE (id);

CREATE INDEX event_xid ON event (epoch, xid);
CREATE INDEX event_key ON event (key);

-- Everything up to `tick` is done, and of what lies between `tick` and `toward` the events up to `last_id`.
CREATE TABLE cursor (
    source text NOT NULL,
    "group" text NOT NULL,
    first_slot smallint NOT NULL DEFAULT 0,
    last_slot smallint NOT NULL DEFAULT 15,
    tick bigint NOT NULL,
    tick_uuid uuid NOT NULL,
    toward bigint,
    last_id bigint NOT NULL DEFAULT 0,
    fence bigint NOT NULL DEFAULT 0,
    owner text,
    seen_at timestamptz NOT NULL DEFAULT now(),
    parked int NOT NULL DEFAULT 0 CHECK (parked >= 0),
    PRIMARY KEY (source, "group", first_slot),
    CHECK (0 <= first_slot AND first_slot <= last_slot AND last_slot <= 15)
) WITH (fillfactor = 50);

CREATE TABLE parked (
    source text NOT NULL,
    "group" text NOT NULL,
    position bigint NOT NULL,
    key text NOT NULL,
    slot smallint NOT NULL,
    event json NOT NULL,
    error text NOT NULL,
    tries int NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, "group", position)
);

CREATE INDEX parked_key ON parked (source, "group", key);
