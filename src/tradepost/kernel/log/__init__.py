"""The log: append, tick, batch, cursor, parked, rebase. The outbox is the event bus."""
