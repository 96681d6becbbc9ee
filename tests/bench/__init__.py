"""The scripts of `bench`: that they do what their figures say, never how fast."""
