"""Peers: the same task done by others, each the honest best of its kind in about a page."""
