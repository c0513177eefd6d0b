"""Rows of values as a table inside one statement, so that a batch of any size is one statement of one text.

A row per `VALUES` list would be another text for each size of a batch, and its parameters are limited in number. Here
each column is one array (PostgreSQL), or all rows are one JSON text (SQLite). JSON holds no bytes, so `insert_rows` is
one statement with a row per `VALUES` list on SQLite.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Dialect,
    FromClause,
    String,
    bindparam,
    column,
    func,
    select,
    true,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from webhook_app.db.upsert import insert_into


def row_set(
    session: Session, name: str, columns: Mapping[str, TypeEngine[Any]], rows: Sequence[Sequence[Any]]
) -> FromClause:
    """A table called `name` with these columns and rows, to select, join or update from. It carries no binary values
    on SQLite.

    An empty one is allowed: it has no rows.
    """
    dialect = session.get_bind().dialect
    if dialect.name == "sqlite":
        return _json_rows(dialect, name, columns, rows)
    by_column = zip(*rows, strict=True) if rows else ((),) * len(columns)
    arrays = [
        bindparam(f"{name}_{key}", list(values), type_=ARRAY(_unbounded(kind), dimensions=1), unique=True)
        for (key, kind), values in zip(columns.items(), by_column, strict=True)
    ]
    listed = [column(key, _unbounded(kind)) for key, kind in columns.items()]
    return func.unnest(*arrays).table_valued(*listed, name=name).render_derived(name=name)


def is_one_of(session: Session, attribute: Any, values: Iterable[Any]) -> ColumnElement[bool]:
    """The condition that this column or attribute is one of the values, in one text however many they are."""
    given = row_set(session, "one_of", {"value": attribute.type}, [(value,) for value in values])
    condition: ColumnElement[bool] = attribute.in_(select(given.c.value))
    return condition


def id_set(session: Session, name: str, ids: Iterable[int]) -> FromClause:
    """The same with one column, `id`."""
    return row_set(session, name, {"id": BigInteger()}, [(one,) for one in ids])


def insert_rows(
    session: Session,
    table: Any,
    rows: Sequence[Mapping[str, Any]],
    returning: Sequence[Any],
    *,
    unless: Sequence[Any] = (),
) -> Sequence[Any]:
    """Inserts rows, all with the same columns, in one statement and in their order; `returning` of those inserted.

    `unless` names the columns of a constraint: a row that it refuses is left out. Any other constraint raises. A row
    that is there is not waited for while another transaction changes it, only one that is being inserted.
    """
    if not rows:
        return []
    names = list(rows[0])
    statement = insert_into(session, table)
    if session.get_bind().dialect.name != "sqlite":
        given = row_set(
            session,
            "given",
            {name: table.c[name].type for name in names},
            [[row[name] for name in names] for row in rows],
        )
        chosen = select(*given.c)
        if unless:
            # PostgreSQL would wait for whoever changes the row that conflicts. A subquery, so that each row is looked
            # up in the constraint's index, whatever the planner knows of the table.
            there = select(true()).where(*(table.c[key.key] == given.c[key.key] for key in unless))
            chosen = chosen.where(there.correlate(given).scalar_subquery().is_(None))
        statement = statement.from_select(names, chosen, include_defaults=False)
    if unless:
        statement = statement.on_conflict_do_nothing(index_elements=unless)
    statement = statement.returning(*returning)
    if statement.select is not None:
        return session.execute(statement).all()
    return session.execute(statement, rows).all()


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
