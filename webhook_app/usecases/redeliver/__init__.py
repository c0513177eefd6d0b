"""Deliveries: what waits, what failed, and replays."""
