"""The brokers, and the same behaviour on each of them."""
