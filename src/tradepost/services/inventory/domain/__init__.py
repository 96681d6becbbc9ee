"""The rules of stock, by noun: stock, movement, shelf, reservation, order, listing, sync. Pure."""
