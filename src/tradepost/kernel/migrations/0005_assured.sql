-- Ends the transaction of a write that wrote more or fewer rows than it should (kernel/writes.py).
CREATE FUNCTION assured(wrote bigint, expected bigint, write int) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    IF wrote <> expected THEN
        RAISE '% rows were written instead of %', wrote, expected USING ERRCODE = 'TP001', DETAIL = write;
    END IF;
    RETURN wrote;
END $$;
