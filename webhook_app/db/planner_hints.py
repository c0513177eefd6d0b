"""Query-planner hints for single statements; `Database.read` and `run` take one for all of a transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, and_, any_, case, false, func, select, true
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


def go_along_index(session: Session) -> None:
    """Until the transaction ends, PostgreSQL looks up row by row what it might otherwise sort, hash or merge as a whole
    for each part anew. SQLite has no such settings: see `unindexed`."""
    if session.get_bind().dialect.name == "postgresql":
        # `jit`: an estimate that is too high would have machine code made, which takes longer than the part itself.
        settings = ("enable_sort", "enable_hashjoin", "enable_mergejoin", "jit")
        session.execute(select(*(func.set_config(setting, "off", True) for setting in settings)))


def unweighed(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """All of these, for rows that are looked up by something else. PostgreSQL takes it that half of all rows meet them,
    where it might else believe that almost none does, and look for those first."""
    return case((and_(*conditions), true()), else_=false())


def is_chosen(
    dialect: str, column: ColumnElement[int] | InstrumentedAttribute[int], chosen: Select[Any]
) -> ColumnElement[bool]:
    """The condition that this key is one of those that `chosen` selects, which is executed once and comes first.

    Of a table that has grown since it was last analysed PostgreSQL believes that it has hardly a row; it may then join
    the other way round, and execute what is chosen again for each row that there is.
    """
    if dialect == "sqlite":
        return column.in_(chosen.correlate(None))
    return column == any_(func.array(chosen.correlate(None).scalar_subquery()))


def computed_once(rows: Select[Any], name: str) -> Subquery:
    """These rows, with what is computed of each: PostgreSQL would else compute it anew for each row that is joined."""
    return rows.offset(0).subquery(name)


class one_by_one(FunctionElement[Any]):
    """`key == one_by_one(value)`, for a transaction that goes by index: each of few rows with a value is looked up by
    the key. Where PostgreSQL takes a table for empty, it would rather go through the key's index as a whole, which it
    takes for as fast as one look-up, and compare each row of the table with all of those few. It does so for the sake
    of an order that may serve a plain equality; this is none, and an index finds it no less."""

    inherit_cache = True

    def __init__(self, value: InstrumentedAttribute[Any] | ColumnElement[Any]) -> None:
        super().__init__(value)
        self.type = value.type


@compiles(one_by_one)
def _as_it_is(element: one_by_one, compiler: SQLCompiler, **kwargs: Any) -> str:
    (value,) = element.clauses
    return compiler.process(value, **kwargs)


@compiles(one_by_one, "postgresql")
def _in_an_array(element: one_by_one, compiler: SQLCompiler, **kwargs: Any) -> str:
    return f"ANY (ARRAY[{_as_it_is(element, compiler, **kwargs)}])"


def sorted_afterwards(column: ColumnElement[int] | InstrumentedAttribute[int]) -> ColumnElement[int]:
    """The same order as the column's, for rows that are looked up by something else. PostgreSQL might else go through
    all of the table in the order of the column's index, and compare each row with what is looked for."""
    return column + 0


class unindexed(FunctionElement[Any]):
    """The column itself. SQLite looks nothing up in an index that has a unary plus (sqlite.org/optoverview.html,
    "Disqualifying WHERE-clause terms"); it has no statistics, and would take a wrong one. PostgreSQL has them."""

    inherit_cache = True

    def __init__(self, column: InstrumentedAttribute[Any] | ColumnElement[Any]) -> None:
        super().__init__(column)
        self.type = column.type


@compiles(unindexed)
def _elsewhere(element: unindexed, compiler: SQLCompiler, **kwargs: Any) -> str:
    (column,) = element.clauses
    assert isinstance(column, ColumnElement)
    return compiler.process(column, **kwargs)


@compiles(unindexed, "sqlite")
def _on_sqlite(element: unindexed, compiler: SQLCompiler, **kwargs: Any) -> str:
    return f"+{_elsewhere(element, compiler, **kwargs)}"
