-- How events reach the groups when a broker carries them, and which processes share the work.

-- Where a broker carries the events, a position in the log is only for catching up: the group reads the log itself up
-- to this tick, then the row goes and the broker's messages are next.
ALTER TABLE cursor ADD COLUMN until bigint;

-- The running processes that share the places of a team: those of this service, or the relays of its log.
CREATE TABLE member (
    team text NOT NULL,
    owner text NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (team, owner)
) WITH (fillfactor = 50);

-- The groups that a broker serves. Of the events of `source`, those after `since_id` must come to stand in the inbox.
CREATE TABLE intake (
    source text NOT NULL,
    "group" text NOT NULL,
    broker text NOT NULL CHECK (broker IN ('rabbitmq', 'kafka')),
    since_id bigint NOT NULL,
    PRIMARY KEY (source, "group")
);

-- What a group has taken in, since a broker may deliver twice. Event ids are UUIDv7: partitions by id are days.
CREATE TABLE inbox (
    event_id uuid NOT NULL,
    "group" text NOT NULL,
    PRIMARY KEY (event_id, "group")
) PARTITION BY RANGE (event_id);
CREATE TABLE inbox_rest PARTITION OF inbox DEFAULT;

-- The next offset of each partition of a topic, moved with the effects.
CREATE TABLE kafka_offset (
    source text NOT NULL,
    "group" text NOT NULL,
    partition int NOT NULL,
    next bigint NOT NULL CHECK (next >= 0),
    fence bigint NOT NULL DEFAULT 0,
    owner text,
    PRIMARY KEY (source, "group", partition)
) WITH (fillfactor = 50);
