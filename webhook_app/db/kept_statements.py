"""Statements of hot paths, compiled once for each dialect and given to the driver as they are.

SQLAlchemy makes each statement, types each parameter and wraps each result anew, through four layers: of a short read
that is three quarters of the time. Here it says once what the text is, what becomes of each parameter, and what of each
column; with each execution the driver alone is at work. Whoever listens to the engine (traces, tests) gets SQLAlchemy's
own way, which gives the same rows.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

Convert = Callable[[Any], Any]


class KeptStatement:
    """What reads or returns columns. `make` gives it for the name of a dialect, once; its parameters are those of its
    `bindparam`s that have no value."""

    def __init__(self, make: Callable[[str], Any]) -> None:
        self._make = make
        self._kept: dict[str, _Compiled] = {}

    def rows(self, on: Session | Connection, parameters: Mapping[str, Any] | None = None) -> Sequence[Any]:
        """All rows, as named tuples. Raises what SQLAlchemy raises."""
        connection = on if isinstance(on, Connection) else on.connection()
        name = connection.dialect.name
        kept = self._kept.get(name)
        if kept is None:
            kept = self._kept[name] = _Compiled(self._make(name), connection)
        return kept.rows(connection, parameters or {})


def keep(statement: Any) -> KeptStatement:
    """One that is the same in each dialect."""
    return KeptStatement(lambda _: statement)


class _Compiled:
    """One statement in one dialect. Threads may share it: what is found out twice is the same."""

    def __init__(self, statement: Any, connection: Connection) -> None:
        self._statement = statement
        dialect = connection.dialect
        compiled = statement.compile(dialect=dialect)
        asked = {bound.key: None for bound in compiled.binds.values() if bound.required}
        state = compiled.construct_expanded_state(asked)
        self._text = state.statement
        self._order = state.positiontup
        of_each = {name: _bind_processor(bound, dialect) for name, bound in compiled.binds.items()}
        self._processors = {name: process for name, process in of_each.items() if process is not None}
        self._processors |= dict(state.processors)
        self._given = {
            name: self._processors[name](value) if name in self._processors and value is not None else value
            for name, value in state.parameters.items()
            if name not in asked
        }
        self._types = [column.type for column in statement.exported_columns]
        self._make: Callable[[Any], Any] = _row_of([column.key for column in statement.exported_columns])
        self._converters: Sequence[tuple[int, Convert]] | None = None

    def rows(self, connection: Connection, parameters: Mapping[str, Any]) -> Sequence[Any]:
        if has_listeners(connection):
            return connection.execute(self._statement, parameters).all()
        given = dict(self._given)
        for name, value in parameters.items():
            process = self._processors.get(name)
            given[name] = value if process is None else process(value)
        values = given if self._order is None else [given[name] for name in self._order]
        cursor: Any = execute_on_driver(connection, self._text, values)
        found: list[Any] = cursor.fetchall()
        if not found:
            return found
        if self._converters is None:
            self._converters = self._find_converters(connection, cursor)
        columns: list[Any] = list(zip(*found, strict=True))
        for index, convert in self._converters:
            columns[index] = map(convert, columns[index])
        return list(map(self._make, zip(*columns, strict=True)))

    def _find_converters(self, connection: Connection, cursor: Any) -> Sequence[tuple[int, Convert]]:
        """What SQLAlchemy makes of the columns that it does not take as they come."""
        dialect = connection.dialect
        return [
            (index, convert)
            for index, (kind, described) in enumerate(zip(self._types, cursor.description, strict=True))
            if (convert := kind.dialect_impl(dialect).result_processor(dialect, described[1])) is not None
        ]


def _bind_processor(bound: BindParameter[Any], dialect: Dialect) -> Convert | None:
    """What makes of a parameter what the driver takes."""
    process: Convert | None = bound.type.dialect_impl(dialect).bind_processor(dialect)
    return process


def _row_of(names: Sequence[str]) -> Callable[[Any], Any]:
    """Makes a named tuple of values; a column without a name is to be had by its place alone."""
    make: Any = namedtuple
    made: Callable[[Any], Any] = make("Row", names, rename=True)._make
    return made


def has_listeners(connection: Connection) -> bool:
    """Whether somebody listens to what is executed on this engine."""
    on = connection.engine.dispatch
    return bool(on.before_cursor_execute or on.after_cursor_execute or connection.dialect.dispatch.handle_error)


def execute_on_driver(connection: Connection, text: str, parameters: Any = (), **options: Any) -> Any:
    """The driver's cursor, after it has executed this, with options of its own. Errors are SQLAlchemy's, and a
    connection that is lost is given up, as it does it itself."""
    driver: Any = connection.connection.driver_connection
    try:
        return driver.execute(text, parameters, **options)
    except Exception as error:
        family = connection.dialect.loaded_dbapi.Error
        if not isinstance(error, family):
            raise
        is_lost = connection.dialect.is_disconnect(error, driver, None)
        if is_lost:
            connection.invalidate(error)
        hidden = connection.engine.hide_parameters
        raise DBAPIError.instance(text, parameters, error, family, hidden, is_lost, connection.dialect) from error
