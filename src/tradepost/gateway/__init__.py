"""The one way in: it checks paths, limits callers, hands each call to its service and tells how everything does."""
