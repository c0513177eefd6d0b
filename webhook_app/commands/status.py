"""`webhook-app status`: how all stands, in the words of the overview."""

from __future__ import annotations

import sys
from contextlib import closing
from datetime import datetime

import click

from webhook_app.commands.options import check_database, check_schema
from webhook_app.commands.start import start_command
from webhook_app.config import Settings
from webhook_app.console import say
from webhook_app.domain.durations import write_duration
from webhook_app.domain.text import visible_line
from webhook_app.models.event import Delivery
from webhook_app.run.http_probe import get, status_of
from webhook_app.services import open_services
from webhook_app.usecases.monitor.activity import Activity
from webhook_app.usecases.monitor.overview import Overview, read_overview
from webhook_app.web.monitor.overview.parts import Level, Part, check_parts
from webhook_app.web.monitor.overview.verdict import judge

_WEB = "Web"


@click.command()
def status() -> None:
    """Say how all stands: the verdict, each part of the service, deliveries, and the last hour.

    Exit codes: 0 all is well, or will be by itself; 1 something needs a person.
    """
    settings = start_command("status")
    check_database(settings)
    with closing(open_services(settings, pool_size=1)) as services:
        check_schema(services.database)
        overview = read_overview(services.database, services.clock())
        parts = [_web(settings) if part.name == _WEB else part for part in check_parts(services, overview)]
    verdict = judge(overview, parts, is_admin=True)
    say(_plain(verdict.sentence))
    for note in verdict.notes:
        say(f"  {_plain(note)}")
    say("")
    for part in parts:
        say(visible_line(f"  {part.name:<11} {part.state:<9} {_plain(part.detail)}"))
    say("")
    _say_deliveries(overview)
    _say_hour(overview, overview.activity)
    sys.exit(1 if verdict.level is Level.BAD else 0)


def _web(settings: Settings) -> Part:
    """The overview is shown by a web process, and takes its own for granted."""
    where = f"{settings.host}:{settings.port}"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - only read
    if status_of(get(host, settings.port, "/healthz")) == 200:
        return Part(_WEB, Level.GOOD, "up", f"answers on {where}")
    return Part(_WEB, Level.NEUTRAL, "unknown", f"does not answer on {where}, as HOST and PORT say here")


def _say_deliveries(overview: Overview) -> None:
    counts = [f"{overview.unsettled[state].count} {state}" for state in (Delivery.PENDING, Delivery.RETRYING)]
    say(f"Deliveries: {', '.join(counts)}, {overview.failed_count} failed; {overview.watching} transactions move.")
    if (oldest := overview.oldest_waiting) is not None:
        waits = _age(oldest.received_at, overview.now)
        say(visible_line(f"Waits longest: {oldest.merchant_transaction_id}, {oldest.state}, for {waits}."))


def _say_hour(overview: Overview, hour: Activity) -> None:
    total = hour.total
    told = f"Last hour: {total.received} received, {total.reconciled} confirmed, {total.given_up} given up"
    if (delay := overview.confirmation) is not None:
        told += f"; half confirmed within {write_duration(delay.median)}, 95 of 100 within {write_duration(delay.p95)}"
    say(f"{told}.")


def _age(since: datetime, now: datetime) -> str:
    return write_duration(max((now - since).total_seconds(), 0.0))


def _plain(sentence: str) -> str:
    return visible_line(sentence)
