"""Exact sums of amounts, equal to the last digit on both databases. PostgreSQL has them; SQLite gets them from here."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from webhook_app.db.types import ExactDecimal
from webhook_app.domain.money import add_amounts, format_amount


class exact_sum(GenericFunction[Decimal | None]):
    """The sum of a column of amounts, its scale the largest of theirs; NULL where there is none."""

    inherit_cache = True
    type = ExactDecimal()  # type: ignore[assignment]  # declared as of a type that is never None

    def __init__(self, column: ColumnElement[Any] | Any) -> None:
        super().__init__(column)


@compiles(exact_sum, "postgresql")
def _on_postgresql(element: exact_sum, compiler: SQLCompiler, **kwargs: Any) -> str:
    return f"sum({compiler.process(element.clauses, **kwargs)})"


class ExactSum:
    """What SQLite calls for each row of a group. Amounts are text there; its own `sum` would make floats of them."""

    def __init__(self) -> None:
        self._total: Decimal | None = None

    def step(self, amount: str | None) -> None:
        if amount is not None:
            self._total = add_amounts(self._total, Decimal(amount))

    def finalize(self) -> str | None:
        return format_amount(self._total)
