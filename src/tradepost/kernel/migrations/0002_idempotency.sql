-- Answers kept for 24 hours, so that a request sent again has the same effect and the same answer.

CREATE TABLE idempotency (
    scope      text        NOT NULL,  -- caller or client address, method, path
    key        text        NOT NULL,
    body_hash  bytea       NOT NULL,  -- SHA-256 of the body as sent
    status     integer     NOT NULL,
    headers    text        NOT NULL,  -- a JSON object
    body       bytea,
    at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, key)
);

CREATE INDEX idempotency_at ON idempotency (at);
