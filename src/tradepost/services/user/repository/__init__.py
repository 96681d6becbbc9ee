"""Rows in, rows out; saving an account also appends its event."""
