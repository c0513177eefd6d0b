"""The kinds of failure that reconciliations have now: what can be chosen of errors and codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, exists, func, select

from webhook_app.db.database import Database
from webhook_app.models import Reconciliation

#: Errors that are looked at, and kinds in all. Proof's documentation has a dozen; what else comes must not fill a menu.
_MOST_ERRORS, MOST_KINDS = 50, 100


@dataclass(frozen=True, order=True)
class FailureKind:
    error: str
    code: str = ""
    """Empty where the failure had none."""


def list_failure_kinds(database: Database) -> Sequence[FailureKind]:
    """In order. A look into an index for each of them, however many reconciliations failed that way."""
    with database.read() as session:
        return [FailureKind(*row) for row in session.execute(_kinds())]


def _kinds() -> Select[str, str]:
    error, code = Reconciliation.last_error, Reconciliation.last_code
    errors = select(func.min(error).label("error")).where(error.is_not(None)).cte("errors", recursive=True)
    next_error = select(func.min(error)).where(error > errors.c.error).scalar_subquery()
    errors = errors.union_all(select(next_error).where(errors.c.error.is_not(None)))
    known = select(errors.c.error).where(errors.c.error.is_not(None)).limit(_MOST_ERRORS).subquery()

    first_code = select(func.min(code)).where(error == known.c.error).scalar_subquery()
    codes = select(known.c.error, first_code.label("code")).cte("codes", recursive=True)
    next_code = select(func.min(code)).where(error == codes.c.error, code > codes.c.code).scalar_subquery()
    codes = codes.union_all(select(codes.c.error, next_code).where(codes.c.code.is_not(None)))
    # The walk through an error's codes ends with NULL, which tells nothing of rows that have none.
    has_no_code = exists().where(error == codes.c.error, code.is_(None))
    shown = func.coalesce(codes.c.code, "").label("shown")
    kinds = select(codes.c.error, shown).where(codes.c.code.is_not(None) | has_no_code)
    return kinds.order_by(codes.c.error, shown).limit(MOST_KINDS)
