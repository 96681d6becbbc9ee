"""`tradepost audit`: what must be true of the databases when nothing is under way, one module of checks per subject."""

from tradepost.console.audit.examine import audit

__all__ = ("audit",)
