"""Severity: how soon a person has to look, of discrepancies and incidents alike."""

from __future__ import annotations

from enum import StrEnum


class Severity(StrEnum):
    CRITICAL = "critical"
    """Money, books or the service itself: a person has to look now."""
    WARNING = "warning"
    """A person has to look, within the day."""
    INFO = "info"
    """Nobody has to do anything."""
