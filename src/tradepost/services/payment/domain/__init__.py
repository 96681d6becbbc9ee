"""The rules of payments: what a provider is asked, what its word changes, what is entered in the ledger. Pure."""
