"""Reading what Proof confirmed: lists, sums, exports, discrepancies."""
