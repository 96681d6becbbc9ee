"""Rows in, rows out. Payments are locked in the order of their ids, always before their refunds."""
