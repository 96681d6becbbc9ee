"""The services: each owns its data and learns of the others by events."""
