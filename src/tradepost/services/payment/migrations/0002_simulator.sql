-- The simulated provider's own books. Only the simulator writes here, in transactions of its own, as a bank would.

CREATE TABLE simulator_charge (
    id uuid PRIMARY KEY,
    key text COLLATE "C" NOT NULL UNIQUE,
    amount bigint NOT NULL CHECK (amount > 0),
    currency text NOT NULL,
    method text NOT NULL,
    state text NOT NULL CHECK (state IN ('requires_action', 'authorized', 'captured', 'declined', 'voided')),
    reason text,
    refunded bigint NOT NULL DEFAULT 0,
    at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT simulator_charge_refund_ceiling CHECK (refunded BETWEEN 0 AND amount)
) WITH (fillfactor = 90);

CREATE TABLE simulator_refund (
    id uuid PRIMARY KEY,
    key text COLLATE "C" NOT NULL UNIQUE,
    charge_key text COLLATE "C" NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    state text NOT NULL CHECK (state IN ('pending', 'succeeded', 'failed')),
    reason text,
    at timestamptz NOT NULL DEFAULT now()
);

-- News about a charge or a refund: true in the books, and told, from `due_at` on. `event_id` is the same in repetitions.
CREATE TABLE simulator_webhook (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL,
    about text NOT NULL CHECK (about IN ('charge', 'refund')),
    key text COLLATE "C" NOT NULL,
    reference text NOT NULL,
    state text NOT NULL,
    reason text,
    due_at timestamptz NOT NULL
);

CREATE INDEX simulator_webhook_due ON simulator_webhook (due_at);
