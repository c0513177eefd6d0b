"""`webhook-app`: every process and every task of an operator, as a command."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from contextlib import closing

import click
from sqlalchemy.exc import SQLAlchemyError

from webhook_app import __version__
from webhook_app.app import create_app
from webhook_app.config import ConfigurationError, Settings, load_settings
from webhook_app.db.database import Database
from webhook_app.db_command import db
from webhook_app.domain.text import storable
from webhook_app.export_command import export
from webhook_app.logs import configure_logging
from webhook_app.models.system import Role
from webhook_app.replay_command import replay
from webhook_app.run.diagnosis import diagnose
from webhook_app.run.lanes import run_children
from webhook_app.run.stack import own_command, run_stack
from webhook_app.run.supervisor import Child
from webhook_app.run.web_server import serve_web
from webhook_app.sandbox.server import SandboxSettings, serve
from webhook_app.services import open_reconciler, open_services, utc_now
from webhook_app.usecases.claim import Lane
from webhook_app.usecases.tokens import create_token
from webhook_app.users_command import shell_actor, users
from workers.clock import run_clock
from workers.start import run_lane

ROLES = click.Choice([str(role) for role in Role])


def _storable_name(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    if not name.strip() or name != storable(name, 128):
        raise click.BadParameter("must be 1 to 128 characters, none of them a control character.")
    return name


def main() -> None:
    """The console script: what an operator can mend ends with one sentence, not with a traceback."""
    try:
        cli()
    except ConfigurationError as error:
        click.echo(f"webhook-app: {error}", err=True)
        sys.exit(2)
    except SQLAlchemyError as error:
        reason = str(error).splitlines()[0]
        click.echo(f"webhook-app: the database cannot do that: {reason}. `webhook-app doctor` tells more.", err=True)
        sys.exit(1)
    except OSError as error:
        click.echo(f"webhook-app: {error}", err=True)
        sys.exit(1)


@click.group()
@click.version_option(__version__)
def cli() -> None:
    """Receives Proof's payment webhooks and keeps each transaction's authoritative status."""


@cli.command()
def run() -> None:
    """Start everything: database upgrade, web, worker, clock; Redis and the sandbox where none is configured."""
    sys.exit(run_stack(load_settings(os.environ), os.environ))


@cli.command()
def web() -> None:
    """Serve webhooks, API and health."""
    settings = _start("web")
    create_app(open_services(settings))  # a wrong configuration shows here, once, not in every server process
    serve_web(settings)


@cli.command()
@click.option("--lane", type=click.Choice([str(lane) for lane in Lane]), help="One lane only; without it, both.")
def worker(lane: str | None) -> None:
    """Reconcile: the fast lane many at once, the slow lane one by one."""
    settings = _start(f"worker-{lane}" if lane else "worker")
    services = open_services(settings)
    open_reconciler(services, threads=1)  # likewise: it would otherwise show in the first job
    assert settings.redis_url is not None, "open_services has checked it"
    if lane:
        run_lane(settings.redis_url, Lane(lane))
        logging.shutdown()
        os._exit(0)  # a call to Proof that still hangs, its claim handed back, must not keep the process
    children = [Child(f"worker-{name}", own_command("worker", "--lane", str(name)), dict(os.environ)) for name in Lane]
    # A call under way gets the time to end.
    sys.exit(run_children(children, grace_seconds=settings.slowest_call + 3))


@cli.command()
def clock() -> None:
    """Sweep SQL every second for what is due, stuck or failed. Any number may run."""
    settings = _start("clock")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    services = open_services(settings, pool_size=2)
    run_clock(services, open_reconciler(services, threads=8), stop)


@cli.command()
def sandbox() -> None:
    """Serve the sandbox, a stand-in for Proof."""
    settings = _start("sandbox")
    serve(
        SandboxSettings(
            port=settings.sandbox_port,
            tokens=settings.proof_client_tokens,
            webhook_url=settings.sandbox_webhook_url,
            speed=settings.sandbox_speed,
            traffic=settings.sandbox_traffic,
            state_file=settings.data_dir / "sandbox.json",
        )
    )


@cli.group()
def tokens() -> None:
    """API tokens."""


@tokens.command("create")
@click.argument("name", callback=_storable_name)
@click.option("--role", type=ROLES, required=True, help="finance reads, service watches, admin may do everything.")
def tokens_create(name: str, role: str) -> None:
    """Make an API token; it is printed once, alone on the last line."""
    settings = _start("tokens")
    with closing(Database(settings.database_url, pool_size=1)) as database:
        token = create_token(database, name, Role(role), utc_now(), shell_actor())
    click.echo(token)


cli.add_command(db)
cli.add_command(users)
cli.add_command(replay)
cli.add_command(export)


@cli.command()
def doctor() -> None:
    """Check configuration, database, migrations, Redis, clock and Proof, and say what to do."""
    settings = _start("doctor")
    findings = diagnose(settings, os.environ)
    for finding in findings:
        click.echo(finding.line)
    sys.exit(0 if all(finding.is_well for finding in findings) else 1)


def _start(process: str) -> Settings:
    settings = load_settings(os.environ)
    configure_logging(settings.log_format, settings.log_level, process)
    return settings


if __name__ == "__main__":
    main()
