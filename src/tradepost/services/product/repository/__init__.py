"""Rows in, rows out."""
