"""A service without rules of its own, for the tests of the kernel."""
