-- The transaction that changed the catalogue last is the one that wrote this row, its `xmin`: as long as that and the
-- time stay the same, so do all products, variants and categories, and what can be ordered. Only availability is not
-- among it.
CREATE TABLE catalogue (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    changed_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO catalogue DEFAULT VALUES;

-- As its owner: whoever may write a product need not be granted this table.
CREATE FUNCTION catalogue_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO product.catalogue DEFAULT VALUES ON CONFLICT (only_row)
    DO UPDATE SET changed_at = now() WHERE catalogue.xmin <> pg_current_xact_id()::xid;
    RETURN NULL;
END $$;

-- At the COMMIT, whoever writes: the row is locked after all others, and only that long. The tables in the order in which
-- an import writes them, which may be under way.
DO $$
DECLARE
    written text;
BEGIN
    FOREACH written IN ARRAY ARRAY['category', 'product', 'variant', 'offer'] LOOP
        EXECUTE format('CREATE CONSTRAINT TRIGGER catalogue_changed AFTER INSERT OR UPDATE OR DELETE ON %I '
                       'DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION catalogue_changed()', written);
        EXECUTE format('CREATE TRIGGER catalogue_emptied AFTER TRUNCATE ON %I '
                       'EXECUTE FUNCTION catalogue_changed()', written);
    END LOOP;
END $$;
