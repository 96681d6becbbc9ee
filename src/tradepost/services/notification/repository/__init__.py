"""Rows of contacts and deliveries."""
