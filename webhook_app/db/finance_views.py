"""The views that BI tools read, and who may. Migrations make them and keep them as they are: others build on them."""

from __future__ import annotations

from psycopg.sql import SQL, Composable, Identifier

#: In the order of docs/finance.md.
FINANCE_VIEWS = (
    "finance_transactions",
    "finance_transaction_versions",
    "finance_status_changes",
    "finance_discrepancies",
)


def grant_statements(role: str, database: str, schema: str) -> list[str]:
    """What lets the PostgreSQL role `role` read the views and nothing else.

    A view reads with its owner's rights, so the role needs none on the tables.
    """
    name, where = Identifier(role), Identifier(schema)
    views = SQL(", ").join(Identifier(schema, view) for view in FINANCE_VIEWS)
    statements: list[Composable] = [
        SQL("GRANT CONNECT ON DATABASE {} TO {}").format(Identifier(database), name),
        SQL("GRANT USAGE ON SCHEMA {} TO {}").format(where, name),
        SQL("GRANT SELECT ON {} TO {}").format(views, name),
    ]
    return [statement.as_string() for statement in statements]


def lock_statement(role: str) -> str:
    """A second lock, for a caller who may alter roles: the role's transactions are read-only. The role could set that
    back, and would still lack the right to write."""
    return SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(Identifier(role)).as_string()
