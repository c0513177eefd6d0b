"""Log-in, accounts and the audit log over HTTP."""
