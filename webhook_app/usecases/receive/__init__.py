"""Taking in what Proof reports."""
