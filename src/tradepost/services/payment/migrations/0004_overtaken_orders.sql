-- Orders whose cancellation came before their payment was asked for: there is a row until it is. None is forgotten by the
-- time, as a dead letter may be sent back at any age; there are only as many as a broker has lost.
CREATE TABLE overtaken_order (
    order_id uuid PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now()
);
