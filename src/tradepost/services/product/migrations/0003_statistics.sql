-- Words, tags, vendors and categories are as uneven as a catalogue is, and a search is planned by them. The embedded
-- server samples less than PostgreSQL does by itself, which is enough for all that grows with each order.
DO $$
DECLARE
    known record;
BEGIN
    FOR known IN
        SELECT attrelid::regclass AS relation, attname AS name FROM pg_attribute
        WHERE attrelid = ANY ('{category, product, variant, availability, offer}'::regclass[])
          AND attnum > 0 AND NOT attisdropped
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 100', known.relation, known.name);
    END LOOP;
END $$;
