CREATE TABLE thing (key text PRIMARY KEY, version bigint NOT NULL);
-- Nothing here keeps an effect from happening twice, or out of order: it would show.
CREATE TABLE effect (
    at bigint GENERATED ALWAYS AS IDENTITY, "group" text NOT NULL, event_id uuid NOT NULL, type text NOT NULL,
    key text NOT NULL, sequence bigint NOT NULL, note text NOT NULL DEFAULT ''
);
