-- Since when a paid order waits for shipping's word on its cancellation. No index has it, so the move stays HOT.
ALTER TABLE orders ADD COLUMN cancel_requested_at timestamptz;
