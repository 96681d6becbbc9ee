-- Products, their variants and categories; beside them what other services tell: availability, and what can be ordered.

CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA extension;
CREATE EXTENSION IF NOT EXISTS unaccent SCHEMA extension;

-- English words without their endings, and letters without their accents.
CREATE TEXT SEARCH CONFIGURATION search (COPY = pg_catalog.english);
ALTER TEXT SEARCH CONFIGURATION search
    ALTER MAPPING FOR hword, hword_part, word WITH extension.unaccent, english_stem;

-- What generated columns and indexes may call: PostgreSQL takes the functions inside for less stable than they are.
CREATE FUNCTION joined(words text[]) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN array_to_string(words, ' ');
CREATE FUNCTION plain(words text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN extension.unaccent('extension.unaccent'::regdictionary, lower(words));

CREATE TABLE category (
    id uuid PRIMARY KEY,
    parent_id uuid REFERENCES category,
    name text NOT NULL CHECK (name <> ''),
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (parent_id <> id)
);

CREATE UNIQUE INDEX category_name ON category (parent_id, lower(name)) NULLS NOT DISTINCT;

-- `version` counts the events published about the product. `price` is the lowest of its variants'.
CREATE TABLE product (
    id uuid PRIMARY KEY,
    handle text NOT NULL CONSTRAINT product_handle UNIQUE,
    name text NOT NULL CHECK (name <> ''),
    description text NOT NULL,
    vendor text NOT NULL,
    type text NOT NULL,
    tags text[] NOT NULL,
    status text NOT NULL CHECK (status IN ('active', 'draft', 'archived')),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    price bigint NOT NULL CHECK (price >= 0),
    category_id uuid REFERENCES category,
    options text[] NOT NULL,
    images jsonb NOT NULL,
    seo_title text NOT NULL,
    seo_description text NOT NULL,
    gift_card boolean NOT NULL,
    metadata jsonb NOT NULL,
    version bigint NOT NULL CHECK (version > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    search tsvector NOT NULL GENERATED ALWAYS AS (
        setweight(to_tsvector('search', name), 'A')
        || setweight(to_tsvector('search', vendor || ' ' || type || ' ' || joined(tags)), 'B')
        || setweight(to_tsvector('search', left(description, 10000)), 'D')
    ) STORED
) WITH (fillfactor = 90);

CREATE INDEX product_search ON product USING gin (search);
CREATE INDEX product_name_like ON product USING gin (plain(name) extension.gin_trgm_ops);
CREATE INDEX product_tags ON product USING gin (tags);
CREATE INDEX product_category ON product (category_id, id);
CREATE INDEX product_vendor ON product (vendor, id);
CREATE INDEX product_price ON product (price, id);
CREATE INDEX product_name ON product (lower(name), id);

-- Products with a word in the name that is spelt nearly so; of `rank` 0 to 1, `shrit` is a third of `shirt`.
-- The setting is what the operator, and so the index, takes for nearly.
CREATE FUNCTION alike(q text) RETURNS TABLE (id uuid, rank real) LANGUAGE plpgsql ROWS 20 AS $$
DECLARE
    wanted text := plain(q);
BEGIN
    PERFORM set_config('pg_trgm.word_similarity_threshold', '0.3', true);
    RETURN QUERY
        SELECT product.id, extension.word_similarity(wanted, plain(product.name)) AS likeness FROM product
        WHERE wanted OPERATOR(extension.<%) plain(product.name)
        ORDER BY likeness DESC, product.id DESC LIMIT 1000;
END $$;

CREATE TABLE variant (
    id uuid PRIMARY KEY,
    product_id uuid NOT NULL REFERENCES product,
    position int NOT NULL,
    sku text NOT NULL CONSTRAINT variant_sku UNIQUE CHECK (sku <> ''),
    options text[] NOT NULL,
    price bigint NOT NULL CHECK (price >= 0),
    compare_at_price bigint CHECK (compare_at_price >= 0),
    cost bigint CHECK (cost >= 0),
    barcode text,
    grams bigint CHECK (grams >= 0),
    weight_unit text NOT NULL,
    requires_shipping boolean NOT NULL,
    taxable boolean NOT NULL,
    continue_selling boolean NOT NULL,
    image_url text
) WITH (fillfactor = 90);

CREATE INDEX variant_product ON variant (product_id, position);
CREATE INDEX variant_sku_begins ON variant (upper(sku) text_pattern_ops);
CREATE INDEX variant_barcode ON variant (barcode) WHERE barcode IS NOT NULL;

-- What inventory told last of each SKU; it may come before the product, and outlives it. Changed by every order:
-- room on the page and no other index keep that cheap.
CREATE TABLE availability (
    sku text PRIMARY KEY,
    available bigint NOT NULL,
    version bigint NOT NULL
) WITH (fillfactor = 70);

-- The variants that order has opened for sale. Not a column of `variant`: it is no edit of the product.
CREATE TABLE offer (variant_id uuid PRIMARY KEY);
