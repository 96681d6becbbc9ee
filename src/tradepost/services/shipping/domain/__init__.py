"""The rules of shipping: pure."""
