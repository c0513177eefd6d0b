"""The sandbox's own values as JSON."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from webhook_app.domain.money import format_amount
from webhook_app.domain.timestamps import format_timestamp


def jsonable(value: Any) -> Any:
    """For `json.dumps(…, default=jsonable)`: amounts and timestamps as Proof writes them, a dataclass as an object."""
    if isinstance(value, datetime):
        return format_timestamp(value)
    if isinstance(value, Decimal):
        return format_amount(value)
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} has no form in JSON")
