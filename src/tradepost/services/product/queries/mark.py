"""How statements tell whether the catalogue has changed."""

from typing import Final

# Who wrote the row last, and when he began: a number of a transaction that a crash has lost may be used again.
MARK: Final = "(SELECT xmin || '@' || changed_at FROM catalogue)"
