"""Benchmarks: how long and how much, beside something to compare with. `make bench` runs them."""
