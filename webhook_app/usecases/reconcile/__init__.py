"""Bringing transactions to the status that Proof confirms."""
