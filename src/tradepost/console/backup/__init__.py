"""`tradepost backup` and `tradepost restore`: everything that a shop is, in one folder, and a shop made of it again."""
