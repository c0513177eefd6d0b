"""Connections that never say what they came for, 1,500 at a time, beside webhooks: who is kept waiting?

`make silence`, or `python -m tests.silence`.
"""
