"""The edge: a table of endpoints becomes router, validation, OpenAPI and access rules."""
