-- Wrong passwords are counted by where they come from, so that a stranger's don't keep the owner out, and, as place '',
-- wherever they come from. What was counted before is forgotten: a day was all it was kept for.
DELETE FROM login_failure;
ALTER TABLE login_failure ADD COLUMN place text COLLATE "C" NOT NULL;
ALTER TABLE login_failure DROP CONSTRAINT login_failure_pkey, ADD PRIMARY KEY (email, place);
