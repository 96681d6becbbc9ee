CREATE TABLE effect (event_id uuid PRIMARY KEY, key text NOT NULL, amount bigint NOT NULL);
