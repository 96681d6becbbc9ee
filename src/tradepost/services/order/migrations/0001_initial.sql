-- Orders with their lines in one row: lines never change after placing and are always read with their order.

CREATE SEQUENCE order_number START 1001;

CREATE TABLE orders (
    id uuid PRIMARY KEY,
    number bigint NOT NULL UNIQUE DEFAULT nextval('order_number'),
    user_id uuid,
    guest json,
    status text NOT NULL CHECK (status IN ('pending', 'reserved', 'paid', 'shipped', 'completed', 'cancelled')),
    version bigint NOT NULL CHECK (version > 0),
    currency text NOT NULL,
    total_amount bigint NOT NULL CHECK (total_amount >= 0),
    lines json NOT NULL,
    shipping_address json,
    payment_method text NOT NULL,
    action_url text,
    cancel_reason text,
    cancel_requested boolean NOT NULL DEFAULT false,
    failure json,
    tracking_number text,
    carrier text,
    refunded bigint NOT NULL DEFAULT 0 CHECK (refunded BETWEEN 0 AND total_amount),
    created_at timestamptz NOT NULL,
    reserved_at timestamptz,
    paid_at timestamptz,
    shipped_at timestamptz,
    completed_at timestamptz,
    cancelled_at timestamptz,
    CHECK ((user_id IS NULL) <> (guest IS NULL)),
    CHECK (status <> 'cancelled' OR cancel_reason IS NOT NULL)
) WITH (fillfactor = 70);

CREATE INDEX orders_user ON orders (user_id, id) WHERE user_id IS NOT NULL;

-- What reached an order too late to change it: on record, and nothing more.
CREATE TABLE late_fact (
    order_id uuid NOT NULL REFERENCES orders,
    event_id uuid NOT NULL,
    type text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (order_id, event_id)
);

-- Every order up to this id has been looked at after its time for payment was over: one pass is enough.
CREATE TABLE expiry (one boolean PRIMARY KEY DEFAULT true CHECK (one), upto uuid NOT NULL);
INSERT INTO expiry (upto) VALUES ('00000000-0000-0000-0000-000000000000');

CREATE TABLE return_ (
    id uuid PRIMARY KEY,
    order_id uuid NOT NULL REFERENCES orders,
    status text NOT NULL CHECK (status IN ('requested', 'approved', 'rejected', 'received', 'refunded')),
    lines json NOT NULL,
    reason text NOT NULL,
    amount bigint NOT NULL CHECK (amount >= 0),
    requested_at timestamptz NOT NULL,
    approved_at timestamptz,
    rejected_at timestamptz,
    received_at timestamptz,
    refunded_at timestamptz
);

CREATE INDEX return_order ON return_ (order_id, id);

-- What can be ordered: price from product, and that inventory knows the SKU.
CREATE TABLE offer (
    variant_id uuid PRIMARY KEY,
    product_id uuid NOT NULL,
    sku text NOT NULL,
    name text NOT NULL,
    price bigint NOT NULL CHECK (price >= 0),
    currency text NOT NULL,
    active boolean NOT NULL,
    stocked boolean NOT NULL,
    opened boolean NOT NULL DEFAULT false
) WITH (fillfactor = 85);

CREATE INDEX offer_sku ON offer (sku);
CREATE INDEX offer_product ON offer (product_id);

CREATE TABLE stocked (sku text PRIMARY KEY);
