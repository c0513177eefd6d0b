"""Deliveries, replays and the RQ dashboard over HTTP."""
