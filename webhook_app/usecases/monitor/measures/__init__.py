"""Measures: what the clock looks up for `/metrics`, a file for each part, with the families that it gives.

A new one is a file here with `FAMILIES` and `measure`, and its name in `measuring.py`.
"""
