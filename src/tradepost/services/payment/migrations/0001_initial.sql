-- Payments and refunds with what is to be asked of the provider about each, the record of what it said, and the ledger.

-- `task` is the next thing to ask the provider, from `due_at` on; `claimed_until` is the lease of who is asking.
-- A claim touches no indexed column, so that it stays on its page.
CREATE TABLE payment (
    id uuid PRIMARY KEY,
    order_id uuid NOT NULL UNIQUE,
    user_id uuid,
    amount bigint NOT NULL CHECK (amount >= 0),
    currency text NOT NULL,
    method text NOT NULL,
    status text NOT NULL CHECK (status IN
        ('pending', 'processing', 'requires_action', 'authorized', 'captured', 'failed', 'voided')),
    cancelled boolean NOT NULL DEFAULT false,
    captured bigint NOT NULL DEFAULT 0,
    refunding bigint NOT NULL DEFAULT 0 CHECK (refunding >= 0),
    refunded bigint NOT NULL DEFAULT 0 CHECK (refunded >= 0),
    version bigint NOT NULL DEFAULT 0,
    reference text,
    action_url text,
    failure text,
    task text CHECK (task IN ('charge', 'void', 'find')),
    due_at timestamptz,
    claimed_until timestamptz,
    attempts int NOT NULL DEFAULT 0,
    correlation_id text NOT NULL,
    causation_id uuid,
    traceparent text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT payment_captured_whole CHECK (captured IN (0, amount)),
    CONSTRAINT payment_refund_ceiling CHECK (refunded + refunding <= captured),
    CONSTRAINT payment_task_is_due CHECK ((task IS NULL) = (due_at IS NULL))
) WITH (fillfactor = 85);

CREATE INDEX payment_to_send ON payment (due_at) WHERE task IN ('charge', 'void');
CREATE INDEX payment_to_find ON payment (due_at) WHERE task = 'find';

-- `key` begins with `order:{id}:` and is compared by bytes, so its index finds an order's refunds.
CREATE TABLE refund (
    id uuid PRIMARY KEY,
    payment_id uuid NOT NULL REFERENCES payment,
    key text COLLATE "C" NOT NULL UNIQUE,
    amount bigint NOT NULL CHECK (amount > 0),
    currency text NOT NULL,
    reason text NOT NULL,
    items json,
    return_id text,
    status text NOT NULL CHECK (status IN ('pending', 'processing', 'succeeded', 'failed')),
    reference text,
    failure text,
    task text CHECK (task IN ('refund', 'find')),
    due_at timestamptz,
    claimed_until timestamptz,
    attempts int NOT NULL DEFAULT 0,
    correlation_id text NOT NULL,
    causation_id uuid,
    traceparent text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT refund_task_is_due CHECK ((task IS NULL) = (due_at IS NULL))
) WITH (fillfactor = 85);

CREATE INDEX refund_to_send ON refund (due_at) WHERE task = 'refund';
CREATE INDEX refund_to_find ON refund (due_at) WHERE task = 'find';

-- What the provider said, as it became known; never changed. No foreign key: it would cost a lock and a look-up a row.
CREATE TABLE payment_transaction (
    payment_id uuid NOT NULL,
    id uuid NOT NULL,
    type text NOT NULL CHECK (type IN ('authorization', 'capture', 'void', 'refund')),
    status text NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed')),
    amount bigint NOT NULL CHECK (amount >= 0),
    currency text NOT NULL,
    provider_reference text,
    refund_id uuid,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (payment_id, id)
);

-- Webhooks taken in, by the provider's id of each.
CREATE TABLE webhook (
    provider text NOT NULL,
    event_id text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (provider, event_id)
);

CREATE INDEX webhook_at ON webhook (at);

-- The ledger. `cause` is the key of what was done, and found by in the same way.
CREATE TABLE ledger_transaction (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('capture', 'refund', 'refund_reversal')),
    order_id uuid NOT NULL,
    payment_id uuid NOT NULL,
    cause text COLLATE "C" NOT NULL UNIQUE,
    at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE ledger_posting (
    transaction_id uuid NOT NULL,
    account text NOT NULL CHECK (account IN ('provider_receivable', 'sales', 'refunds')),
    currency text NOT NULL,
    amount bigint NOT NULL CHECK (amount <> 0), -- a debit is positive
    PRIMARY KEY (transaction_id, account, currency)
);

-- The sum of all postings, kept by the trigger below; in stripes, so that transactions seldom wait for one another.
CREATE TABLE ledger_balance (
    account text NOT NULL,
    currency text NOT NULL,
    stripe smallint NOT NULL,
    amount bigint NOT NULL,
    PRIMARY KEY (account, currency, stripe)
) WITH (fillfactor = 50);

-- One check for all rows of a statement: what a statement enters belongs to transactions and sums to zero in each.
CREATE FUNCTION keep_books() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (SELECT FROM entered GROUP BY transaction_id, currency HAVING sum(amount) <> 0) THEN
        RAISE EXCEPTION 'the postings of a transaction do not sum to zero'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_posting_balanced';
    END IF;
    IF EXISTS (SELECT FROM entered LEFT JOIN ledger_transaction AS entry ON entry.id = entered.transaction_id
               WHERE entry.id IS NULL) THEN
        RAISE EXCEPTION 'a posting belongs to no transaction'
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'ledger_posting_transaction';
    END IF;
    INSERT INTO ledger_balance AS kept (account, currency, stripe, amount)
    SELECT account, currency, pg_backend_pid() % 8, sum(amount) FROM entered GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (account, currency, stripe) DO UPDATE SET amount = kept.amount + excluded.amount;
    RETURN NULL;
END
$$;

CREATE FUNCTION refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is written once; correct it by another entry', tg_table_name
        USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER keep_books AFTER INSERT ON ledger_posting
    REFERENCING NEW TABLE AS entered FOR EACH STATEMENT EXECUTE FUNCTION keep_books();
CREATE TRIGGER written_once BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_posting
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER written_once BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transaction
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER written_once BEFORE UPDATE OR DELETE OR TRUNCATE ON payment_transaction
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER kept_by_postings BEFORE INSERT OR UPDATE OR DELETE ON ledger_balance
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION refuse_rewriting();
