"""Refusals: why what was asked for is not done. One handler for each way in turns them into its answer."""

from __future__ import annotations


class Refused(Exception):
    """It makes no sense as it was asked for. Nothing was changed; the message says why and what to do, for people."""

    def __init__(self, message: str, field: str | None = None) -> None:
        """`field` names the value that is wrong, where it is one alone."""
        super().__init__(message)
        self.field = field


class Conflict(Refused):
    """It would make sense, but not in the present state: somebody else came first, or it is done already."""


class Missing(Refused):
    """What it is about does not exist."""
