-- Unpaid orders are found by the index of open ones.
DROP TABLE expiry;
