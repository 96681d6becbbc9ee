"""Learning from products which SKUs there are."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from tradepost.kernel.clock import now
from tradepost.kernel.database import Tx
from tradepost.kernel.events import Cause
from tradepost.services.inventory import repository
from tradepost.services.inventory.domain.listing import Catalogue, Listing, Owner, Snapshot, catalogue
from tradepost.services.inventory.domain.movement import Movement, Reason
from tradepost.services.inventory.domain.shelf import ANNOUNCED, adjusted
from tradepost.services.inventory.domain.stock import Stock


async def learn(tx: Tx, snapshots: Sequence[Snapshot], at: datetime) -> None:
    """Take up SKUs that are new, with their opening stock, and announce each exactly once. Of known ones only the
    product and the variant are put right: what is in stock, the ledger knows better."""
    told = catalogue(snapshots)
    known = await repository.lock_listed(tx, told.listings.keys(), told.products)
    unknown = told.listings.keys() - {stock.sku for stock in known}
    learnt = await repository.insert_stock(tx, [told.listings[sku] for sku in unknown]) if unknown else ()
    await _correct_owners(tx, known, told)
    await _announce(tx, [listing for sku, listing in told.listings.items() if sku in learnt], at)


async def tell(tx: Tx, after: str | None, limit: int, cause: Cause) -> Sequence[str]:
    """Announce the next SKUs once more, with what there is of them now; which they are."""
    shelf = await repository.lock_next(tx, after or "", limit)
    skus = shelf.skus()
    for sku in skus:
        shelf.announce(sku, cause)
    repository.save(tx, shelf, now())
    return skus


async def _correct_owners(tx: Tx, known: Iterable[Stock], told: Catalogue) -> None:
    owners = {}
    for stock in known:
        before = Owner(stock.product_id, stock.variant_id)
        if (owner := told.owner_of(stock.sku, before)) != before:
            owners[stock.sku] = owner
    if owners:
        await repository.set_owners(tx, owners)


async def _announce(tx: Tx, learnt: Collection[Listing], at: datetime) -> None:
    opened = [listing for listing in learnt if listing.opening]
    repository.record(tx, [_opening(listing) for listing in opened], at)
    for listing in learnt:
        reason = Reason.OPENING if listing.opening else ANNOUNCED
        tx.append(adjusted(_stock(listing), listing.opening, reason), sequence=1, cause=listing.cause)


def _opening(listing: Listing) -> Movement:
    return Movement(sku=listing.sku, quantity=listing.opening, reason=Reason.OPENING, on_hand=listing.opening)


def _stock(listing: Listing) -> Stock:
    return Stock(
        sku=listing.sku,
        on_hand=listing.opening,
        reserved=0,
        version=1,
        events=1,
        product_id=listing.owner.product_id,
        variant_id=listing.owner.variant_id,
    )
