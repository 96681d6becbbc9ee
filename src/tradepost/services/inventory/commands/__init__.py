"""Each write: lock, decide, save. Every transaction locks all its stock at once, so that none waits for another that
waits for it."""

from tradepost.services.inventory.commands.listing import learn, tell
from tradepost.services.inventory.commands.order import follow
from tradepost.services.inventory.commands.stock import move, set_sellable, set_threshold, sync

__all__ = ["follow", "learn", "move", "set_sellable", "set_threshold", "sync", "tell"]
