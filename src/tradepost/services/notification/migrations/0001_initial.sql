-- Whom to tell, what was told, and whether it went out.

-- `awaited` holds the place of somebody of whom we have only heard by id, `erased` that of somebody to forget.
CREATE TABLE contact (
    user_id  uuid    PRIMARY KEY,
    state    text    NOT NULL CHECK (state IN ('awaited', 'known', 'erased')),
    email    text,
    name     text,
    phone    text,
    is_staff boolean NOT NULL DEFAULT false,
    CHECK ((state = 'known') = (email IS NOT NULL)),
    CHECK (state = 'known' OR (name IS NULL AND phone IS NULL AND NOT is_staff))
) WITH (fillfactor = 90);

CREATE INDEX contact_staff ON contact (user_id) WHERE is_staff;

-- Whose an order is, for facts that name nothing but the order. Without a number it is awaited.
CREATE TABLE order_contact (
    order_id    uuid PRIMARY KEY,
    number      text,
    user_id     uuid,
    guest_email text,
    guest_name  text
);

CREATE INDEX order_contact_user ON order_contact (user_id) WHERE user_id IS NOT NULL;

-- The id is made from event, channel and recipient, so that this key is what keeps a message from going out twice.
CREATE TABLE delivery (
    id             uuid        PRIMARY KEY,
    event_id       uuid        NOT NULL,
    channel        text        NOT NULL CHECK (channel IN ('email', 'sms')),
    template       text        NOT NULL,
    user_id        uuid,
    order_id       uuid,
    address        text,
    subject        text        NOT NULL,
    body           text        NOT NULL,
    facts          jsonb,      -- what to write it from, while its recipient is not known
    status         text        NOT NULL CHECK (status IN ('waiting', 'pending', 'sent', 'failed')),
    version        bigint      NOT NULL,  -- counts the events published about it
    attempts       int         NOT NULL,
    next_try_at    timestamptz NOT NULL DEFAULT now(),  -- and until when a sender has it to itself
    error          text,
    at             timestamptz NOT NULL DEFAULT now(),
    correlation_id text,
    traceparent    text,
    CHECK ((status = 'waiting') = (facts IS NOT NULL)),
    CHECK (status <> 'pending' OR address IS NOT NULL)
);

-- In the mailbox mode deliveries are born `sent`, and the partial indexes stay empty.
CREATE INDEX delivery_order ON delivery (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX delivery_alert ON delivery (user_id) WHERE order_id IS NULL;
CREATE INDEX delivery_waiting ON delivery (user_id) WHERE status = 'waiting';
CREATE INDEX delivery_waiting_order ON delivery (order_id) WHERE status = 'waiting' AND user_id IS NULL;
CREATE INDEX delivery_due ON delivery (next_try_at) WHERE status = 'pending';
CREATE INDEX delivery_failed ON delivery (id) WHERE status = 'failed';

-- Which channels end in the mailbox, where a message is sent as soon as it is written.
CREATE TABLE transport (
    channel text    PRIMARY KEY CHECK (channel IN ('email', 'sms')),
    mailbox boolean NOT NULL
);

INSERT INTO transport (channel, mailbox) VALUES ('email', true), ('sms', true);
