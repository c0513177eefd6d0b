"""What the service speaks to: Proof, the queue, the people who log in."""
