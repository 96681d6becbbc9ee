-- Words, tags, vendors and categories are as uneven as a catalogue is, and a search is planned by them. The embedded
-- server samples less than PostgreSQL does by itself, which is enough for all that grows with each order. What an
-- operator has set stays.
DO $$
DECLARE
    known record;
BEGIN
    IF current_setting('default_statistics_target')::int > 100 THEN
        RETURN;
    END IF;
    FOR known IN
        SELECT attrelid::regclass AS relation, attname AS name FROM pg_attribute
        WHERE attrelid = ANY ('{category, product, variant, availability, offer}'::regclass[])
          AND attnum > 0 AND NOT attisdropped AND COALESCE(attstattarget, -1) < 0
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 100', known.relation, known.name);
    END LOOP;
    ALTER INDEX product_name_like ALTER COLUMN 1 SET STATISTICS 100;
    ALTER INDEX product_name ALTER COLUMN 1 SET STATISTICS 100;
    ALTER INDEX variant_sku_begins ALTER COLUMN 1 SET STATISTICS 100;
END $$;
