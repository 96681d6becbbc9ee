-- Staff look for cancelled orders, too, few among all. Others have no entry, and no move of theirs costs more for it:
-- `orders_open` looks at the same columns.
CREATE INDEX orders_cancelled ON orders (id) WHERE cancelled_at IS NOT NULL;
