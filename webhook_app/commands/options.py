"""What commands share: the database and who runs one, values checked as over HTTP, the filter of transactions."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import click

from webhook_app.commands.start import start_process
from webhook_app.config import Settings
from webhook_app.db.database import Database, missing_file
from webhook_app.db.schema_revision import newest_revision, stored_revision
from webhook_app.domain.proof_values import TYPES
from webhook_app.domain.status import Status
from webhook_app.domain.text import is_term, storable
from webhook_app.domain.time_zones import read_zone
from webhook_app.domain.timestamps import parse_date_or_timestamp
from webhook_app.models.discrepancy import DiscrepancyKind
from webhook_app.models.reconciliation import State
from webhook_app.usecases.audit import Actor
from webhook_app.usecases.finance.cross_field_validation import find_contradictions
from webhook_app.usecases.finance.transaction_filter import ANY_DISCREPANCY, TransactionFilter
from webhook_app.usecases.reconcile.report import PAUSED

Command = TypeVar("Command", bound=Callable[..., Any])


class Timestamp(click.ParamType[datetime]):
    """Of the zone that `--tz` names, where the command has that option."""

    name = "timestamp"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        zone = ctx.params.get("tz") if ctx is not None else None
        try:
            return parse_date_or_timestamp(value, read_zone(zone or "UTC"))
        except ValueError:
            self.fail(f"{value!r} is no date or ISO 8601 timestamp, such as 2026-04-01T10:00:00Z.", param, ctx)


def open_database(name: str) -> Database:
    """The database, for a command that is no process of its own: `start_process`, and closed when the command ends.
    Raises ClickException where there is none: it would be made, empty, in whatever folder somebody stands."""
    return open_database_of(start_process(name))


def open_database_of(settings: Settings) -> Database:
    """The same, after `start_process`."""
    check_database(settings)
    database = Database(settings.database_url, pool_size=1)
    click.get_current_context().call_on_close(database.close)
    check_schema(database)
    return database


def check_database(settings: Settings) -> None:
    """Raises ClickException where the SQLite file that these settings name is not there."""
    if (path := missing_file(settings.database_url)) is not None:
        raise click.ClickException(
            f"There is no database {path}, and this command makes none. Run it where `make run` was started, or set "
            "WEBHOOK_APP_DATA_DIR to its data folder, or DATABASE_URL; `webhook-app db upgrade` makes a new one."
        )


def check_schema(database: Database) -> None:
    """Raises ClickException where the database lacks migrations of ours. A later release's has all that we need."""
    revision, ours = stored_revision(database), newest_revision()
    if revision is not None and revision >= ours:
        return
    stands = "has no tables yet" if revision is None else f"is an earlier release's: it stands at migration {revision}"
    raise click.ClickException(f"The database {stands}, and we need {ours}: `webhook-app db upgrade` brings it there.")


def shell_actor() -> Actor:
    """Who runs the command, for the audit log."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        name = f"uid {os.getuid()}"
    return Actor(name, "shell")


def check_term(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    if text is not None and not is_term(text):
        raise click.BadParameter("must be 1 to 128 characters, none of them a control character.")
    return text


def check_zone(_context: click.Context, _parameter: click.Parameter, name: str | None) -> str | None:
    try:
        return name and read_zone(name).key
    except ValueError:
        raise click.BadParameter("must be a time zone's name, such as Europe/Paris or UTC.") from None


def check_reason(_context: click.Context, _parameter: click.Parameter, reason: str) -> str:
    if not reason.strip() or reason != storable(reason, 500):
        raise click.BadParameter("must be 1 to 500 characters, none of them a control character.")
    return reason.strip()


def filter_options(command: Command) -> Command:
    """The fields of a TransactionFilter as options; `make_filter` takes what they give."""
    for option in reversed(_FILTER_OPTIONS):
        command = option(command)
    return command


def make_filter(given: dict[str, Any], now: datetime) -> TransactionFilter:
    """Raises click.BadParameter, which names the option, for values that make no sense together."""
    for name, problem in find_contradictions(given, now):
        raise click.BadParameter(problem, param_hint=f"'--{name.replace('_', '-')}'")
    return TransactionFilter(**given)


def _choice(values: Sequence[str]) -> click.Choice[str]:
    return click.Choice([str(value) for value in values], case_sensitive=False)


_FILTER_OPTIONS: Sequence[Callable[[Any], Any]] = (
    click.option("--q", callback=check_term, help="The id or a part of it; or a partner user, exactly."),
    click.option("--status", type=_choice(list(Status))),
    click.option("--type", type=_choice(TYPES)),
    click.option("--currency", callback=check_term),
    click.option("--network", callback=check_term),
    click.option("--fiat-currency", callback=check_term),
    click.option("--partner-user-id", callback=check_term),
    click.option("--state", type=_choice([*State, PAUSED]), help="Of the reconciliation."),
    click.option(
        "--anomaly",
        type=_choice([ANY_DISCREPANCY, *DiscrepancyKind]),
        help="Has an unresolved discrepancy of that kind.",
    ),
    click.option("--created-from", type=Timestamp(), help="Created at that time or later, as Proof says."),
    click.option("--created-to", type=Timestamp(), help="Created before that time."),
    click.option("--updated-from", type=Timestamp(), help="In its status since that time or later."),
    click.option("--updated-to", type=Timestamp(), help="In its status since before that time."),
    click.option(
        "--tz",
        callback=check_zone,
        is_eager=True,  # before the times that are told in it
        help="Of which time zone dates are, and times without an offset; UTC unless given.",
    ),
    click.option("--as-of", type=Timestamp(), help="What was confirmed at that time; the same for ever."),
)
