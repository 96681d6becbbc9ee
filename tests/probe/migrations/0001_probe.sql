CREATE TABLE thing (key text PRIMARY KEY, version bigint NOT NULL DEFAULT 0);
CREATE TABLE effect (event_id uuid NOT NULL, key text NOT NULL, sequence bigint NOT NULL, at serial);
