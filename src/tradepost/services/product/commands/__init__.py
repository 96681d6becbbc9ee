"""Each write: load, decide, save."""
