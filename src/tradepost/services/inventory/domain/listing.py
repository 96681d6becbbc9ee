"""What products say of SKUs: which ones exist, whose they are, and with how many units they open."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from tradepost.kernel.events import Cause


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """A SKU of a product; `opening` units came with it."""

    sku: str
    variant_id: str
    opening: int = 0


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A product with all the variants that it has now."""

    product_id: str
    variants: tuple[Variant, ...]
    cause: Cause


class Owner(msgspec.Struct, frozen=True):
    """The variant that a SKU stands for; nobody's, when its product dropped it."""

    product_id: str | None = None
    variant_id: str | None = None


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """A SKU as it was first told of, and whose it is in the end."""

    sku: str
    opening: int
    owner: Owner
    cause: Cause


class Catalogue(msgspec.Struct, frozen=True):
    """What a batch of snapshots comes to."""

    products: frozenset[str]
    listings: Mapping[str, Listing]  # by SKU

    def owner_of(self, sku: str, before: Owner) -> Owner:
        """Whose a known SKU is from now on."""
        listing = self.listings.get(sku)
        if listing is not None and listing.owner.product_id is not None:
            return listing.owner
        return Owner() if before.product_id in self.products else before


def catalogue(snapshots: Sequence[Snapshot]) -> Catalogue:
    """For each SKU the first opening stock, as if each snapshot had come alone, and the last owner."""
    latest: dict[str, Snapshot] = {}
    first: dict[str, tuple[Variant, Cause]] = {}
    for snapshot in snapshots:
        latest.pop(snapshot.product_id, None)  # so that the last one told of stands last
        latest[snapshot.product_id] = snapshot
        for variant in snapshot.variants:
            first.setdefault(variant.sku, (variant, snapshot.cause))
    owners = _owners(latest.values())
    listings = {
        sku: Listing(sku=sku, opening=variant.opening, owner=owners.get(sku, Owner()), cause=cause)
        for sku, (variant, cause) in first.items()
    }
    return Catalogue(frozenset(latest), listings)


def _owners(snapshots: Iterable[Snapshot]) -> Mapping[str, Owner]:
    return {
        variant.sku: Owner(snapshot.product_id, variant.variant_id)
        for snapshot in snapshots
        for variant in snapshot.variants
    }
