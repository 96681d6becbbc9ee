"""A payment provider that runs inside: it keeps its own books, and its test cards decline, delay and misbehave."""
