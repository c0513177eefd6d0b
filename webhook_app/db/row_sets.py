"""Rows of values as a table inside one statement, so that a batch of any size is one statement of one text.

A row per `VALUES` list would be another text for each size of a batch, and its parameters are limited in number. Here
each column is one array (PostgreSQL), or all rows are one JSON text (SQLite). JSON holds no bytes, so `insert_rows` is
one statement with a row per `VALUES` list on SQLite.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from sqlalchemy import (
    JSON,
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    Dialect,
    FromClause,
    String,
    any_,
    bindparam,
    cast,
    column,
    func,
    select,
    true,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from webhook_app.db.array_literals import array_literal, has_literals
from webhook_app.db.kept_statements import KeptStatement
from webhook_app.db.upsert import insert_on

Statement = TypeVar("Statement")


class RowSet:
    """A table called `name` with these columns, whose rows are given when a statement with it is executed: so one
    statement, made once for each dialect (`for_each_dialect`), serves all batches. It carries no binary values on
    SQLite. No rows at all are allowed."""

    def __init__(self, name: str, columns: Mapping[str, TypeEngine[Any]]) -> None:
        self._name = name
        self._columns = columns
        self._processors: dict[str, Mapping[str, Callable[[Any], Any] | None]] = {}

    def table(self, dialect: str, values: Mapping[str, Any] | None = None) -> FromClause:
        """To select, join or update from; with these values in it, or such as are given at execution."""
        if dialect == "sqlite":
            return self._json_rows(values)
        arrays = [
            self._array(key, ARRAY(_unbounded(kind), dimensions=1), values) for key, kind in self._columns.items()
        ]
        listed = [column(key, _unbounded(kind)) for key, kind in self._columns.items()]
        return func.unnest(*arrays).table_valued(*listed, name=self._name).render_derived(name=self._name)

    def holds(
        self, dialect: str, key: str, attribute: Any, values: Mapping[str, Any] | None = None
    ) -> ColumnElement[bool]:
        """The condition that this column or attribute has one of the values of the set's column `key`. On PostgreSQL it
        is a comparison with an array: a join with its rows may compare each of them with each row of the table."""
        if dialect == "sqlite":
            condition: ColumnElement[bool] = attribute.in_(select(self.table(dialect, values).c[key]))
        else:
            kind = ARRAY(_unbounded(self._columns[key]), dimensions=1)
            condition = attribute == any_(self._array(key, kind, values))
        return condition

    def given(self, session: Session, rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """The parameters of a statement with this table, for these rows."""
        dialect = session.get_bind().dialect
        if dialect.name == "sqlite":
            return {self._parameter("rows"): self._write(dialect, rows)}
        by_column = zip(*rows, strict=True) if rows else ((),) * len(self._columns)
        return {
            self._parameter(key): self._write_array(dialect, key, values)
            for key, values in zip(self._columns, by_column, strict=True)
        }

    def _parameter(self, key: str) -> str:
        return f"{self._name}_{key}"

    def _bind(self, key: str, kind: TypeEngine[Any], values: Mapping[str, Any] | None) -> BindParameter[Any]:
        name = self._parameter(key)
        return bindparam(name, type_=kind) if values is None else bindparam(name, values[name], kind, unique=True)

    def _array(self, key: str, kind: ARRAY[Any], values: Mapping[str, Any] | None) -> ColumnElement[Any]:
        if not has_literals(kind.item_type):
            return self._bind(key, kind, values)
        return cast(self._bind(key, String(), values), kind)

    def _write_array(self, dialect: Dialect, key: str, values: Sequence[Any]) -> Any:
        if not has_literals(self._columns[key]):
            return list(values)
        process = self._find_processors(dialect)[key]
        if len(set(map(id, values))) == 1:  # as in most columns of a batch
            return array_literal([process(values[0]) if process else values[0]] * len(values))
        return array_literal(list(map(process, values)) if process else values)

    def _json_rows(self, values: Mapping[str, Any] | None) -> FromClause:
        each = func.json_each(self._bind("rows", String(), values)).table_valued("value", name=f"{self._name}_json")
        columns = (
            type_coerce(func.json_extract(each.c.value, f"$[{index}]"), kind).label(key)
            for index, (key, kind) in enumerate(self._columns.items())
        )
        return select(*columns).select_from(each).subquery(self._name)

    def _write(self, dialect: Dialect, rows: Sequence[Sequence[Any]]) -> str:
        processors = self._find_processors(dialect).values()
        written = [
            [process(value) if process else value for process, value in zip(processors, row, strict=True)]
            for row in rows
        ]
        return json.dumps(written, ensure_ascii=False)

    def _find_processors(self, dialect: Dialect) -> Mapping[str, Callable[[Any], Any] | None]:
        """What makes of a value of each column what the driver takes."""
        if dialect.name not in self._processors:
            self._processors[dialect.name] = {
                key: kind.dialect_impl(dialect).bind_processor(dialect) for key, kind in self._columns.items()
            }
        return self._processors[dialect.name]


def for_each_dialect(make: Callable[[str], Statement]) -> Callable[[Session], Statement]:
    """What `make` makes for the dialect of a session, by its name; once for each. Making a statement of SQLAlchemy's
    takes longer than executing it."""
    made = functools.cache(make)
    return lambda session: made(session.get_bind().dialect.name)


def row_set(
    session: Session, name: str, columns: Mapping[str, TypeEngine[Any]], rows: Sequence[Sequence[Any]]
) -> FromClause:
    """The table of a `RowSet` with its rows in it, for a statement that is executed once."""
    given = RowSet(name, columns)
    return given.table(session.get_bind().dialect.name, given.given(session, rows))


def is_one_of(session: Session, attribute: Any, values: Iterable[Any]) -> ColumnElement[bool]:
    """The condition that this column or attribute is one of the values, in one text however many they are."""
    given = RowSet("one_of", {"value": attribute.type})
    rows = given.given(session, [(value,) for value in values])
    return given.holds(session.get_bind().dialect.name, "value", attribute, rows)


def id_set(session: Session, name: str, ids: Iterable[int]) -> FromClause:
    """The same with one column, `id`."""
    return row_set(session, name, {"id": BigInteger()}, [(one,) for one in ids])


def insert_rows(
    on: Session | Connection,
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
    kind = (table, tuple(rows[0]), tuple(returning), tuple(unless))
    dialect = on.dialect if isinstance(on, Connection) else on.get_bind().dialect
    if dialect.name == "sqlite":
        return on.execute(_insertion("sqlite", *kind), rows).all()
    return _kept_insertion(*kind).rows(on, {"rows": json.dumps(rows, ensure_ascii=False, default=_to_json)})


def _records(table: Any, names: tuple[str, ...]) -> FromClause:
    """The rows as one JSON text. To write that takes a sixth of the time that writing an array for each column takes;
    PostgreSQL reads both equally fast."""
    listed = [column(name, _unbounded(table.c[name].type)) for name in names]
    text = cast(bindparam("rows", type_=String()), JSON)
    records = func.json_to_recordset(text).table_valued(*listed, name="given")
    return records.render_derived(name="given", with_types=True)


def _to_json(value: object) -> str:
    """As PostgreSQL reads it, to the last digit."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.isoformat()
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"a {type(value).__name__} has no place in a row")


@functools.cache
def _insertion(
    dialect: str, table: Any, names: tuple[str, ...], returning: tuple[Any, ...], unless: tuple[Any, ...]
) -> Any:
    """Made once for each kind of row."""
    statement = insert_on(dialect, table)
    if dialect != "sqlite":
        given = _records(table, names)
        chosen = select(*given.c)
        if unless:
            # PostgreSQL would wait for whoever changes the row that conflicts. A subquery, so that each row is looked
            # up in the constraint's index, whatever the planner knows of the table.
            there = select(true()).where(*(table.c[key.key] == given.c[key.key] for key in unless))
            chosen = chosen.where(there.correlate(given).scalar_subquery().is_(None))
        statement = statement.from_select(list(names), chosen, include_defaults=False)
    if unless:
        statement = statement.on_conflict_do_nothing(index_elements=unless)
    return statement.returning(*returning)


@functools.cache
def _kept_insertion(
    table: Any, names: tuple[str, ...], returning: tuple[Any, ...], unless: tuple[Any, ...]
) -> KeptStatement:
    return KeptStatement(lambda dialect: _insertion(dialect, table, names, returning, unless))


def _unbounded(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """PostgreSQL cuts a value that is cast to a shorter type; without a length the column itself refuses it."""
    return String() if isinstance(kind, String) else kind
