"""Each read: SQL to a response, past the domain."""
