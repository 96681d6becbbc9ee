"""The rules of a sale: pure."""
