"""Arrays for PostgreSQL as text, in the syntax of its manual ("Array Input and Output Syntax").

A batch has some seventy values for each transaction. The driver writes each of an array with a function of its own,
which takes up to fifteen times as long and was half of what applying a batch cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, DateTime, Integer, Numeric, String, TypeDecorator
from sqlalchemy.types import TypeEngine

_PLAIN = (Boolean, DateTime, Integer, Numeric, String)


def has_literals(kind: TypeEngine[Any]) -> bool:
    """Whether values of this type are written here. Bytes and JSON are the driver's."""
    return isinstance(kind.impl_instance if isinstance(kind, TypeDecorator) else kind, _PLAIN)


def array_literal(values: Sequence[Any]) -> str:
    """Of texts, numbers, booleans, aware timestamps and None. What stands in all places, as in most columns of a batch,
    is written once."""
    if len(set(map(id, values))) == 1:
        return f"{{{','.join([_written(values[0])] * len(values))}}}"
    return f"{{{','.join(map(_written, values))}}}"


def _written(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        if '"' in value or "\\" in value:
            value = value.replace("\\", r"\\").replace('"', r"\"")
        return f'"{value}"'
    return value.isoformat() if isinstance(value, datetime) else str(value)
