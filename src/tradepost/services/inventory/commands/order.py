"""What orders ask of stock, a batch at a time."""

from collections.abc import Sequence
from datetime import datetime

from tradepost.kernel.database import Tx
from tradepost.services.inventory import repository
from tradepost.services.inventory.domain.order import Step, carry_out, skus_of


async def follow(tx: Tx, steps: Sequence[Step], at: datetime) -> None:
    """Reserve, commit, release and take back, in arrival order, with one set of statements for all steps."""
    known = await repository.lock_reservations(tx, {step.order_id for step in steps})
    shelf = await repository.lock(tx, skus_of(steps, known))
    changed = carry_out(steps, known, shelf)
    repository.save_reservations(tx, changed, known)
    repository.save(tx, shelf, at)
