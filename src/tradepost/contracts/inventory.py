"""What the inventory service publishes. `available` and `version` are the stock's after the change; the version
grows by each change, so that a reader can keep the newest whatever the order in which facts of two keys reach it."""

from typing import ClassVar

import msgspec

from tradepost.kernel.events import Fact


class StockLine(msgspec.Struct, frozen=True, kw_only=True):
    """Units of one SKU in a reservation."""

    sku: str
    quantity: int
    available: int
    version: int


class Shortage(msgspec.Struct, frozen=True, kw_only=True):
    """A SKU of which there was less than asked for."""

    sku: str
    requested: int
    available: int


class _AboutOrder(Fact, frozen=True, kw_only=True):
    key_field: ClassVar[str] = "order_id"

    order_id: str


class InventoryReserved(_AboutOrder, frozen=True, kw_only=True):
    """All units of the order are held for it."""

    type: ClassVar[str] = "inventory.reserved"

    items: tuple[StockLine, ...]


class InventoryRejected(_AboutOrder, frozen=True, kw_only=True):
    """Nothing is held for the order."""

    type: ClassVar[str] = "inventory.rejected"

    reason: str
    missing: tuple[Shortage, ...]


class InventoryReleased(_AboutOrder, frozen=True, kw_only=True):
    """What was held is free again; `restocked` when the units had already left `on_hand`."""

    type: ClassVar[str] = "inventory.released"

    items: tuple[StockLine, ...]
    restocked: bool = False


class _AboutSku(Fact, frozen=True, kw_only=True):
    key_field: ClassVar[str] = "sku"

    sku: str
    product_id: str | None = None
    variant_id: str | None = None


class InventoryAdjusted(_AboutSku, frozen=True, kw_only=True):
    """A movement outside of orders. The first one, `announced` or `opening`, tells that inventory knows the SKU; a
    later one that is `announced` moved nothing, and repeats what there is."""

    type: ClassVar[str] = "inventory.adjusted"

    delta: int
    on_hand: int
    reserved: int
    available: int
    version: int
    reason: str
    reference: str | None = None


class InventoryLow(_AboutSku, frozen=True, kw_only=True):
    """Available fell below the threshold; once per crossing."""

    type: ClassVar[str] = "inventory.low"

    available: int
    threshold: int


class InventoryAvailable(_AboutSku, frozen=True, kw_only=True):
    """Available is back at the threshold or above; once per crossing."""

    type: ClassVar[str] = "inventory.available"

    available: int
    threshold: int
