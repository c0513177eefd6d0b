"""Text in lower case and in the order of its bytes, in which what begins alike stands together: an index over it finds
what begins with something. PostgreSQL's own order is that of a language, in which it may not."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute, Mapped
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class lower_bytes(FunctionElement[str]):
    """Of a column of ASCII, which is what both databases change the case of alike."""

    inherit_cache = True
    type = String()

    def __init__(self, column: InstrumentedAttribute[str] | ColumnElement[str] | Mapped[str]) -> None:
        super().__init__(column)


@compiles(lower_bytes)
def _elsewhere(element: lower_bytes, compiler: SQLCompiler, **kwargs: Any) -> str:
    (column,) = element.clauses
    assert isinstance(column, ColumnElement)
    return f"lower({compiler.process(column, **kwargs)})"


@compiles(lower_bytes, "postgresql")
def _on_postgresql(element: lower_bytes, compiler: SQLCompiler, **kwargs: Any) -> str:
    return f'({_elsewhere(element, compiler, **kwargs)} COLLATE "C")'
