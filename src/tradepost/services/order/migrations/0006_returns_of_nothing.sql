-- Nothing told that a return had nothing to give back, so it stayed `received`: it was worth nothing, or all that its
-- order had cost was back already.
UPDATE return_ SET status = 'refunded', amount = 0, refunded_at = now()
FROM orders WHERE orders.id = order_id AND return_.status = 'received' AND (amount = 0 OR refunded = total_amount);
