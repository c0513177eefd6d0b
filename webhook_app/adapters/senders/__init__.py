"""Senders of notices, one a file: each has a `name` and a `send` that raises NotSent, with why in words."""
