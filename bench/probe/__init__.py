"""A schema for benchmarks of the log and its brokers: events go out of one, and effects into another."""
