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


def grant_statements(role: str, schema: str = "public") -> list[str]:
    """What lets the PostgreSQL role `role` read the views and nothing else, in the database they are run in.

    A view reads with its owner's rights, so the role needs none on the tables. That it begins read-only transactions is
    a second lock: it could set that back, and would still lack the right to write.
    """
    name, place = Identifier(role), Identifier(schema)
    views = SQL(", ").join(Identifier(schema, view) for view in FINANCE_VIEWS)
    statements: list[Composable] = [
        SQL("REVOKE ALL ON ALL TABLES IN SCHEMA {} FROM {}").format(place, name),
        SQL("GRANT USAGE ON SCHEMA {} TO {}").format(place, name),
        SQL("GRANT SELECT ON {} TO {}").format(views, name),
        SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(name),
    ]
    return [statement.as_string() for statement in statements]
