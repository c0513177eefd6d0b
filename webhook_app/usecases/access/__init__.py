"""Who may come in: accounts, passwords, API tokens."""
