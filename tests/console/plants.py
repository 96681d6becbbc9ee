"""A violation for each check of the audit, planted by a superuser past all guards."""

from dataclasses import dataclass
from typing import Final

_SOMETHING: Final = '(SELECT event_id FROM "user".event LIMIT 1)'
_COPY: Final = """
INSERT INTO {schema}.event (event_id, type, key, slot, sequence, at, correlation_id, bytes, data)
SELECT {event_id}, {type}, {key}, slot, {sequence}, at, correlation_id, bytes, data FROM {schema}.event
WHERE type = '{like}' LIMIT 1;
"""


@dataclass(frozen=True)
class Plant:
    """`sql` violates `check`, and what can't be told apart from it: `also`."""

    check: str
    sql: str
    also: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.check


def _again(schema: str, like: str, *, event_id: str = "gen_random_uuid()", **more: str) -> str:
    """An event like another one, with what differs."""
    parts = {"type": f"'{like}'", "key": "key", "sequence": "sequence", **more}
    return _COPY.format(schema=schema, like=like, event_id=event_id, **parts)


def _blame(schema: str, type_: str) -> str:
    """An outcome that names another cause."""
    return f"""UPDATE {schema}.event SET causation_id = {_SOMETHING}
               WHERE id = (SELECT id FROM {schema}.event WHERE type = '{type_}' LIMIT 1)"""


# The bank sends the refund of the cancelled order back; all that knows of it says so.
_FAIL: Final = """
UPDATE payment.refund SET status = 'failed' WHERE reason = 'cancelled';
UPDATE payment.simulator_refund SET state = 'failed' WHERE key LIKE '%:cancel-refund';
UPDATE payment.simulator_charge SET refunded = 0 WHERE replace(key, 'charge:1', 'cancel-refund') IN (
    SELECT key FROM payment.refund WHERE status = 'failed');
UPDATE "order".orders SET refunded = 0 WHERE status = 'cancelled';
WITH back AS (
    INSERT INTO payment.ledger_transaction (id, kind, order_id, payment_id, cause)
    SELECT gen_random_uuid(), 'refund_reversal', order_id, payment_id, cause || ':failed'
    FROM payment.ledger_transaction WHERE cause LIKE '%:cancel-refund' RETURNING id
), moved (account, sign) AS (VALUES ('provider_receivable', 1), ('refunds', -1)), posted AS (
    INSERT INTO payment.ledger_posting (transaction_id, account, currency, amount)
    SELECT id, account, 'USD', sign * 700 FROM back, moved RETURNING account, amount
)
UPDATE payment.ledger_balance AS kept SET amount = kept.amount + posted.amount
FROM posted WHERE posted.account = kept.account AND (kept.account, stripe) IN (
    SELECT account, min(stripe) FROM payment.ledger_balance GROUP BY account);
UPDATE payment.payment SET refunded = 0 WHERE id IN (SELECT payment_id FROM payment.refund WHERE status = 'failed')
"""
_CLOSE: Final = "UPDATE payment.refund SET closed = 'retried' WHERE status = 'failed'"
_FAIL_AGAIN: Final = """
INSERT INTO payment.refund (id, payment_id, key, amount, currency, reason, status, correlation_id)
SELECT gen_random_uuid(), payment_id, key || ':2', amount, currency, reason, status, '' FROM payment.refund
WHERE status = 'failed'
"""

PLANTS: Final = (
    Plant("log.sequences", 'UPDATE "user".event SET sequence = sequence + 1'),
    Plant("log.ids", _again("product", "product.created", event_id="event_id", key="'other'", sequence="1")),
    Plant("log.causes", """UPDATE shipping.event SET causation_id = gen_random_uuid()
                           WHERE type = 'shipping.dispatched'"""),
    Plant("log.parked", """INSERT INTO inventory.parked (source, "group", position, key, slot, event, error, tries)
                           VALUES ('order', 'inventory', 1, 'key', 0, '{"type": "order.paid"}', 'KeyError', 3)"""),
    Plant("stock.on_hand", "UPDATE inventory.stock SET on_hand = on_hand + 1 WHERE sku = 'TEA-1'"),
    Plant("stock.on_hand", "UPDATE inventory.movement SET quantity = 51 WHERE reason = 'opening' AND sku = 'MUG-1'"),
    Plant("stock.reserved", "UPDATE inventory.stock SET reserved = reserved + 1 WHERE sku = 'TEA-1'"),
    Plant("stock.sold", "UPDATE inventory.movement SET order_id = gen_random_uuid() WHERE reason = 'cancelled'"),
    Plant("stock.returned", "UPDATE inventory.movement SET reference = 'another' WHERE reason = 'returned'"),
    Plant("stock.units", "UPDATE inventory.reservation SET quantities = '{999}' WHERE status = 'rejected'"),
    Plant("stock.units", "DELETE FROM inventory.reservation WHERE status = 'rejected'"),
    Plant("stock.fates", "UPDATE inventory.reservation SET status = 'released' WHERE status = 'reserved'",
          ("stock.reserved",)),
    Plant("stock.told", "UPDATE inventory.stock SET events = events + 1 WHERE sku = 'TEA-1'"),
    Plant("orders.path", _again('"order"', "order.offer_opened", type="'order.payment_requested'", sequence="3",
                                key="""(SELECT id::text FROM "order".orders WHERE status = 'reserved')""")
          + """UPDATE "order".orders SET version = 3 WHERE status = 'reserved'"""),
    Plant("orders.state", """UPDATE "order".orders SET version = version + 1 WHERE status = 'reserved'"""),
    Plant("orders.state", """UPDATE "order".orders SET shipped_at = now() WHERE status = 'reserved'"""),
    Plant("orders.totals", """UPDATE "order".orders SET lines = replace(lines::text, ':500', ':501')::json
                              WHERE status = 'reserved'"""),
    Plant("orders.stuck", """UPDATE "order".orders SET action_url = NULL WHERE status = 'reserved'"""),
    Plant("orders.stuck", """UPDATE "order".orders SET created_at = now() - interval '1 hour'
                             WHERE status = 'reserved'"""),
    Plant("orders.stuck", """UPDATE "order".orders SET cancel_requested = true WHERE status = 'paid'""",
          ("orders.state",)),
    Plant("outcomes.reservations", _blame("inventory", "inventory.rejected")),
    Plant("outcomes.decisions", _blame('"order"', "order.shipped")),
    Plant("outcomes.releases", _blame("inventory", "inventory.released")),
    Plant("outcomes.shipments", _blame("shipping", "shipping.created")),
    Plant("ledger.balanced", """UPDATE payment.ledger_posting SET amount = amount - 1 WHERE account = 'sales';
                                UPDATE payment.ledger_balance SET amount = amount - 4
                                WHERE (account, stripe) = (SELECT account, min(stripe) FROM payment.ledger_balance
                                                           WHERE account = 'sales' GROUP BY account)"""),
    Plant("ledger.balances", "UPDATE payment.ledger_balance SET amount = amount + 1 WHERE account = 'refunds'"),
    Plant("ledger.payments", "UPDATE payment.ledger_transaction SET kind = 'capture' WHERE kind = 'refund'"),
    Plant("payments.outcomes", _again("payment", "payment.captured", type="'payment.voided'", key="""(
        SELECT key FROM payment.event GROUP BY key HAVING max(sequence) = 1 AND max(type) = 'payment.captured' LIMIT 1
    )""", sequence="2")),
    Plant("payments.outcomes", "UPDATE payment.payment SET status = 'authorized' WHERE status = 'requires_action'"),
    Plant("payments.orders", """
        INSERT INTO payment.payment (id, order_id, amount, currency, method, status, correlation_id)
        SELECT gen_random_uuid(), id, total_amount, currency, payment_method, 'voided', '' FROM "order".orders
        WHERE reserved_at IS NULL"""),
    Plant("payments.refunds", """UPDATE payment.payment SET refunding = 1
                                 WHERE status = 'captured' AND refunded = 0"""),
    Plant("payments.failed", _FAIL, ("payments.orders",)),
    Plant("payments.failed", f"{_FAIL}; {_CLOSE}; {_FAIL_AGAIN}", ("payments.orders",)),
    Plant("payments.orders", f"{_FAIL}; {_CLOSE}"),
    Plant("payments.told", 'UPDATE "order".orders SET refunded = refunded - 1 WHERE refunded > 0'),
    Plant("payments.returns", """UPDATE "order".return_ SET status = 'received'"""),
    Plant("payments.returns", """UPDATE "order".return_ SET amount = amount - 1"""),
    Plant("payments.returns", "UPDATE payment.refund SET return_id = NULL"),
    Plant("provider.charges", "UPDATE payment.simulator_charge SET amount = amount + 1 WHERE state = 'captured'"),
    Plant("provider.charges", """
        INSERT INTO payment.simulator_charge (id, key, amount, currency, method, state)
        SELECT gen_random_uuid(), replace(key, ':charge:1', ':charge:2'), amount, currency, method, state
        FROM payment.simulator_charge WHERE state = 'captured' LIMIT 1"""),
    Plant("provider.refunds", "UPDATE payment.simulator_refund SET amount = amount + 1"),
    Plant("parcels.one", """DELETE FROM shipping.shipment WHERE status = 'pending'"""),
    Plant("parcels.fates", "UPDATE shipping.shipment SET status = 'pending' WHERE status = 'cancelled'",
          ("parcels.path",)),
    Plant("parcels.path", "UPDATE shipping.shipment SET version = version + 1 WHERE status = 'pending'"),
    Plant("messages.one", """
        INSERT INTO notification.delivery (id, event_id, channel, template, user_id, order_id, address, subject, body,
                                           status, version, attempts)
        SELECT gen_random_uuid(), event_id, channel, template, user_id, order_id, 'a@b.c', subject, body, 'pending',
               0, 0
        FROM notification.delivery WHERE template = 'order_paid' LIMIT 1"""),
    Plant("messages.told", "DELETE FROM notification.delivery WHERE template = 'payment_refunded'"),
    Plant("messages.told", """UPDATE notification.delivery SET template = 'order_shipped'
                              WHERE template = 'order_completed' AND user_id IS NULL""", ("messages.one",)),
    Plant("messages.waiting", """UPDATE notification.delivery SET status = 'waiting', facts = '{}'
                                 WHERE template = 'order_shipped' AND user_id IS NOT NULL"""),
    Plant("messages.counted", "UPDATE notification.delivery SET version = 2 WHERE template = 'order_shipped'"),
)  # fmt: skip

UNDONE: Final = (
    Plant("drained.events", _again('"order"', "order.paid")),
    Plant("drained.events", """DELETE FROM inventory.cursor WHERE source = 'order'"""),
    Plant("drained.payments", """UPDATE payment.payment SET task = 'charge', due_at = now() + interval '1 hour'
                                 WHERE status = 'captured'"""),
    Plant("drained.news", """INSERT INTO payment.simulator_webhook (event_id, about, key, reference, state, due_at)
                             VALUES (gen_random_uuid(), 'charge', 'order:1:charge:1', '', 'captured', now())"""),
    Plant("drained.messages", """UPDATE notification.delivery SET status = 'pending'
                                 WHERE template = 'order_paid'"""),
)  # fmt: skip
