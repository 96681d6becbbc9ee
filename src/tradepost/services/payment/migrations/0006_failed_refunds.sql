-- What staff did about a refund that failed: sent it once more, paid it in another way, or waived it.
-- The rows that there are have nothing in it, and are not read.
ALTER TABLE refund ADD COLUMN closed text,
    ADD CONSTRAINT refund_closed_check
        CHECK (closed IS NULL OR status = 'failed' AND closed IN ('retried', 'paid_outside', 'waived')) NOT VALID;

CREATE INDEX refund_failed ON refund (id) WHERE status = 'failed' AND closed IS NULL;

-- What buyers got in another way than by the provider. The rows that there are kept a stricter rule, and are not read.
ALTER TABLE ledger_posting DROP CONSTRAINT ledger_posting_account_check,
    ADD CONSTRAINT ledger_posting_account_check
        CHECK (account IN ('provider_receivable', 'sales', 'refunds', 'paid_outside')) NOT VALID;
