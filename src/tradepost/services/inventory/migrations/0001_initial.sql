-- Stock per SKU, what orders hold of it, and the ledger of every unit that came or went.

-- `version` counts the changes of a row; `events` counts what was published under the SKU.
-- No index on what a reservation changes, so that updates of a hot row stay on its page (HOT).
CREATE TABLE stock (
    sku text COLLATE "C" PRIMARY KEY CHECK (sku <> ''),
    on_hand bigint NOT NULL CHECK (on_hand >= 0),
    reserved bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 1 CHECK (version > 0),
    events bigint NOT NULL DEFAULT 0 CHECK (events >= 0),
    threshold bigint CHECK (threshold >= 0),
    low boolean NOT NULL DEFAULT false,
    product_id uuid,
    variant_id uuid,
    CONSTRAINT never_oversold CHECK (reserved >= 0 AND reserved <= on_hand),
    CONSTRAINT low_needs_a_threshold CHECK (threshold IS NOT NULL OR NOT low)
) WITH (fillfactor = 85);

CREATE INDEX stock_low ON stock (sku) WHERE low;
CREATE INDEX stock_product ON stock (product_id);

-- One row per order, whatever its outcome. `version` counts what was published under the order.
CREATE TABLE reservation (
    order_id uuid PRIMARY KEY,
    skus text[] NOT NULL,
    quantities bigint[] NOT NULL,
    status text NOT NULL CHECK (status IN ('reserved', 'rejected', 'committed', 'released', 'restocked')),
    version bigint NOT NULL CHECK (version > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (cardinality(skus) = cardinality(quantities)),
    CHECK (0 < ALL (quantities))
) WITH (fillfactor = 85);

-- The sum of a SKU's movements is its `on_hand`, always.
CREATE TABLE movement (
    id uuid PRIMARY KEY,
    sku text COLLATE "C" NOT NULL,
    quantity bigint NOT NULL CHECK (quantity <> 0),
    reason text NOT NULL,
    reference text,
    order_id uuid,
    on_hand bigint NOT NULL CHECK (on_hand >= 0),  -- after it
    at timestamptz NOT NULL
);

CREATE INDEX movement_sku ON movement (sku, id);

CREATE FUNCTION refuse_to_rewrite() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'movements are final: write a correction' USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER movements_are_final BEFORE UPDATE OR DELETE ON movement
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite();

CREATE TABLE alert (
    id uuid PRIMARY KEY,
    sku text COLLATE "C" NOT NULL,
    kind text NOT NULL CHECK (kind IN ('low', 'available')),
    available bigint NOT NULL,
    threshold bigint NOT NULL,
    at timestamptz NOT NULL
);
