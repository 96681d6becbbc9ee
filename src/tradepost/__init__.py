"""Tradepost: a self-hosted, event-driven commerce backend."""
