-- An order moves four times, mostly soon after its neighbours on the page. Measured over 4,000 orders in batches of 200:
-- 95 % of the updates stay on their page (HOT) and touch none of the three indexes, instead of 73 %.
ALTER TABLE orders SET (fillfactor = 50);
