"""The commands of `tradepost`, one module each, imported only when they are run."""
