-- Staff look for orders that are on their way, few among all that ever were. Without `status`, which moves four times:
-- then only the last of an order's moves leaves its place on the page (is not HOT).
CREATE INDEX orders_open ON orders (id) WHERE completed_at IS NULL AND cancelled_at IS NULL;
