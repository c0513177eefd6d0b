"""Roles: what a person or an API token may do."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    FINANCE = "finance"
    """Reads transactions."""
    SERVICE = "service"
    """The partner's backend: watches transactions, opens sessions."""
    ADMIN = "admin"
    """May do everything."""
