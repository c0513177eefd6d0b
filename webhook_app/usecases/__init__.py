"""What the service does, one module per use case. Each opens its own transactions; clock and Proof are handed in."""
