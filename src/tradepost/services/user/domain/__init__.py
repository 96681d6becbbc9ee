"""The rules of accounts, passwords, sessions and letters; pure."""
