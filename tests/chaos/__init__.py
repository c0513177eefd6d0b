"""Chaos: real processes are killed, real servers taken away, and nothing may be lost, doubled or go backwards.

`make chaos` runs it all (`python -m tests.chaos --help`); `test_chaos.py` runs a small part with the other tests.
"""
