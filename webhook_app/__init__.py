"""Receives Proof's payment webhooks and keeps each transaction's authoritative status."""

__version__ = "0.1.0"
