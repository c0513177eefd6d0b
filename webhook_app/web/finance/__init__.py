"""Transactions, sums, exports and discrepancies over HTTP."""
