-- Accounts, and what belongs to them: sessions, links, letters, addresses, API keys.

CREATE TABLE account (
    id uuid PRIMARY KEY,
    email text COLLATE "C",  -- plain ASCII; null once erased
    name text NOT NULL,
    phone text,
    password_hash text,  -- null for imported customers, until they choose a password
    roles text[] NOT NULL CHECK (roles <@ ARRAY['customer', 'staff', 'admin'] AND roles <> '{}'),
    permissions text[] NOT NULL DEFAULT '{}',
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'disabled', 'erased')),
    email_verified_at timestamptz,
    version bigint NOT NULL DEFAULT 1 CHECK (version > 0),  -- counts the events about this account
    created_at timestamptz NOT NULL,
    CHECK ((email IS NULL) = (status = 'erased')),
    CHECK (status <> 'erased' OR (password_hash IS NULL AND phone IS NULL))
) WITH (fillfactor = 90);

CREATE UNIQUE INDEX account_email ON account (lower(email));
CREATE INDEX account_staff ON account (id) WHERE roles <> '{customer}';
CREATE INDEX account_not_active ON account (id) WHERE status <> 'active';

-- A session is also the family of its refresh tokens. `expires_at` moves on with each of them.
CREATE TABLE session (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES account,
    created_at timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    address text NOT NULL,
    user_agent text NOT NULL
) WITH (fillfactor = 85);

CREATE INDEX session_of_user ON session (user_id, id) WHERE revoked_at IS NULL;
CREATE INDEX session_revoked ON session (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX session_expires ON session (expires_at);

-- `hash` is the SHA-256 of the token; the successor is made of the token itself and `salt`, and stored nowhere.
CREATE TABLE refresh_token (
    hash bytea PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES session ON DELETE CASCADE,
    salt bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
) WITH (fillfactor = 85);

CREATE INDEX refresh_token_of_session ON refresh_token (session_id);
CREATE INDEX refresh_token_expires ON refresh_token (expires_at);

-- Log-in that failed, by the address that was tried, whether or not there is such an account.
CREATE TABLE login_failure (
    email text COLLATE "C" PRIMARY KEY,
    failures int NOT NULL,
    ready_at timestamptz NOT NULL,  -- the next try is refused before
    forget_at timestamptz NOT NULL
) WITH (fillfactor = 85);

CREATE INDEX login_failure_forget ON login_failure (forget_at);

-- What a one-time link allows. Its secret is made of the id and a key outside the database.
CREATE TABLE link (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('verify_email', 'reset_password')),
    user_id uuid NOT NULL REFERENCES account,
    email text NOT NULL,  -- where it is sent, and what it proves
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);

CREATE INDEX link_of_user ON link (user_id, kind, created_at);
CREATE INDEX link_expires ON link (expires_at);

-- Letters to send; their text is written when they are sent, and kept nowhere.
CREATE TABLE letter (
    id uuid PRIMARY KEY,
    template text NOT NULL,
    user_id uuid NOT NULL REFERENCES account,
    recipient text NOT NULL,
    link_id uuid REFERENCES link ON DELETE SET NULL,
    status text NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'sent', 'failed', 'expired')),
    attempts int NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL,  -- a sender that has claimed it moves this on
    error text,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    sent_at timestamptz
) WITH (fillfactor = 85);

CREATE INDEX letter_due ON letter (due_at) WHERE status = 'waiting';
CREATE INDEX letter_of_user ON letter (user_id);
CREATE INDEX letter_of_link ON letter (link_id);
CREATE INDEX letter_expires ON letter (expires_at);

CREATE TABLE address (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES account,
    postal jsonb NOT NULL,
    is_default boolean NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE INDEX address_of_user ON address (user_id, id);
CREATE UNIQUE INDEX address_default ON address (user_id) WHERE is_default;

CREATE TABLE api_key (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    hash bytea NOT NULL UNIQUE,  -- SHA-256 of the key
    hint text NOT NULL,  -- how it begins, to tell it from others
    permissions text[] NOT NULL,
    created_by uuid NOT NULL REFERENCES account,
    created_at timestamptz NOT NULL,
    last_used_at timestamptz,
    revoked_at timestamptz
);

CREATE INDEX api_key_revoked ON api_key (revoked_at) WHERE revoked_at IS NOT NULL;
