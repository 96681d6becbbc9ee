-- Voided since the provider did not know of the charge, of which it may yet hear: it is asked once more, after a while.
ALTER TABLE payment ADD COLUMN doubtful boolean NOT NULL DEFAULT false;
