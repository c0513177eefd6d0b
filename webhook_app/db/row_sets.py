"""Rows of values as a table inside one statement, so that a batch of any size is one statement of one text.

A row per `VALUES` list would be another text for each size of a batch, and its parameters are limited in number. Here
each column is one array (PostgreSQL), or all rows are one JSON text (SQLite).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, Dialect, FromClause, String, bindparam, column, func, select, type_coerce
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine


def row_set(
    session: Session, name: str, columns: Mapping[str, TypeEngine[Any]], rows: Sequence[Sequence[Any]]
) -> FromClause:
    """A table called `name` with these columns and rows, to select, join or update from. It carries no binary values.

    An empty one is allowed: it has no rows.
    """
    dialect = session.get_bind().dialect
    if dialect.name == "sqlite":
        return _json_rows(dialect, name, columns, rows)
    by_column = zip(*rows, strict=True) if rows else ((),) * len(columns)
    arrays = [
        bindparam(f"{name}_{key}", list(values), type_=ARRAY(_unbounded(kind)), unique=True)
        for (key, kind), values in zip(columns.items(), by_column, strict=True)
    ]
    listed = [column(key, _unbounded(kind)) for key, kind in columns.items()]
    return func.unnest(*arrays).table_valued(*listed, name=name).render_derived(name=name)


def id_set(session: Session, name: str, ids: Iterable[int]) -> FromClause:
    """The same with one column, `id`."""
    return row_set(session, name, {"id": BigInteger()}, [(one,) for one in ids])


def _unbounded(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """PostgreSQL cuts a value that is cast to a shorter type; without a length the column itself refuses it."""
    return String() if isinstance(kind, String) else kind


def _json_rows(
    dialect: Dialect, name: str, columns: Mapping[str, TypeEngine[Any]], rows: Sequence[Sequence[Any]]
) -> FromClause:
    processors = [kind.dialect_impl(dialect).bind_processor(dialect) for kind in columns.values()]
    text = json.dumps(
        [
            [process(value) if process else value for process, value in zip(processors, row, strict=True)]
            for row in rows
        ],
        ensure_ascii=False,
    )
    each = func.json_each(bindparam(f"{name}_rows", text, type_=String(), unique=True)).table_valued(
        "value", name=f"{name}_json"
    )
    values = (
        type_coerce(func.json_extract(each.c.value, f"$[{index}]"), kind).label(key)
        for index, (key, kind) in enumerate(columns.items())
    )
    return select(*values).select_from(each).subquery(name)
