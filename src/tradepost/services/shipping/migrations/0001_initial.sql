-- One parcel an order, its tracking history, and when the local carrier looks at it next.

CREATE TABLE shipment (
    id               uuid    PRIMARY KEY,
    order_id         uuid    NOT NULL UNIQUE,
    user_id          uuid,
    tracking_number  text    NOT NULL UNIQUE,
    carrier          text    NOT NULL,
    status           text    NOT NULL,
    dispatched       boolean NOT NULL DEFAULT false,
    version          bigint  NOT NULL CHECK (version > 0),
    pick_up_at       timestamptz NOT NULL,
    deliver_at       timestamptz NOT NULL,
    history          jsonb   NOT NULL,  -- the reports, oldest first
    shipping_address jsonb,
    correlation_id   text    NOT NULL,  -- of the story that the carrier's moves go on with
    causation_id     uuid,
    traceparent      text,
    CHECK (status IN ('pending', 'picked_up', 'in_transit', 'out_for_delivery', 'ready_for_pickup', 'delivered',
                      'delivery_delayed', 'delivery_failed', 'on_hold', 'return_to_sender', 'cancelled', 'unknown')),
    CHECK (NOT (status = 'cancelled' AND dispatched)),
    CHECK (pick_up_at <= deliver_at)
) WITH (fillfactor = 50);  -- no index names a column that changes: there is room for each row to change on its page

CREATE INDEX shipment_user ON shipment (user_id, id);

-- When to look at a shipment again. A look too many does no harm, so what is cancelled is not searched for here.
CREATE TABLE due (
    at          timestamptz NOT NULL,
    shipment_id uuid        NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05);

CREATE INDEX due_at ON due (at);

-- The local carrier's time runs ahead of ours by what it was turned forward. The pace is the operator's setting.
CREATE TABLE carrier_clock (
    one      boolean  PRIMARY KEY DEFAULT true CHECK (one),
    ahead    interval NOT NULL DEFAULT '0',
    pick_up  interval NOT NULL DEFAULT '5 seconds',
    delivery interval NOT NULL DEFAULT '30 seconds'
);

INSERT INTO carrier_clock DEFAULT VALUES;

-- Webhooks that have taken effect.
CREATE TABLE webhook (
    carrier text        NOT NULL,
    id      text        NOT NULL,
    at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (carrier, id)
);

CREATE INDEX webhook_at ON webhook (at);
