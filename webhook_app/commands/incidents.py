"""`webhook-app incidents`: what was wrong, since when, why, and what came of it, from a shell."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import click

from webhook_app.commands.options import open_database
from webhook_app.console import say
from webhook_app.db.database import Database
from webhook_app.domain.incidents import IncidentKind
from webhook_app.domain.text import visible_line
from webhook_app.domain.timestamps import format_timestamp, utc_now
from webhook_app.usecases.incidents.reports import IncidentFilter, IncidentReport, IncidentState, list_incidents

_PER_PAGE = 500


@click.command()
@click.option("--state", type=click.Choice([str(state) for state in IncidentState]))
@click.option(
    "--kind", type=click.Choice([str(kind) for kind in IncidentKind]), metavar="KIND", help="Such as sql_away."
)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="So many of the newest.")
@click.option("--all", "is_all", is_flag=True, help="All of them.")
def incidents(state: str | None, kind: str | None, limit: int, is_all: bool) -> None:
    """Incidents, what began last first, one a line, their fields separated by tabs.

    The fields: its id, when it began, when it ended or `open`, severity, kind, which one where there may be several,
    its cause, and what came of what it held up.
    """
    database = open_database("incidents")
    found = _read(database, IncidentFilter(state, kind), _PER_PAGE if is_all else min(limit, _PER_PAGE))
    for one in found if is_all else islice(found, limit):
        say("\t".join(visible_line(field) for field in _fields(one)))


def _fields(one: IncidentReport) -> list[str]:
    return [
        str(one.id),
        format_timestamp(one.began_at) or "",
        format_timestamp(one.ended_at) or str(one.state),
        str(one.severity),
        one.kind,
        one.key or "-",
        one.cause,
        one.outcome or "-",
    ]


def _read(database: Database, wanted: IncidentFilter, per_page: int) -> Iterator[IncidentReport]:
    after: int | None = None
    while True:
        page = list_incidents(database, wanted, per_page, utc_now(), after)
        yield from page.items
        if page.next_after is None:
            return
        after = page.next_after
