"""Each read: SQL to a response."""
