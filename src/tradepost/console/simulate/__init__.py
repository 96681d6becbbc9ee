"""Playing a real order log through the public API, the way customers would."""

from tradepost.console.simulate.command import simulate

__all__ = ["simulate"]
