"""`webhook-app`: puts the commands together."""

from __future__ import annotations

import contextlib
import importlib
import sys
import traceback
from pathlib import Path
from typing import Any

import click

from webhook_app import __version__
from webhook_app.config import ConfigurationError
from webhook_app.console import open_streams, say
from webhook_app.domain.text import visible_line
from webhook_app.logs import first_line, get_logger
from webhook_app.usecases.refusals import Refused

#: As a shell tells of a pipe that nobody reads: 128 and the signal's number.
_PIPE_CLOSED = 141

#: Each command's module in `webhook_app.commands`, in which it has its own name.
_MODULES = {
    "backfill": "backfill",
    "clock": "clock",
    "completion": "completion",
    "db": "db",
    "deliveries": "deliveries",
    "doctor": "doctor",
    "drift": "drift",
    "export": "export",
    "incidents": "incidents",
    "listen": "listen",
    "notify": "notify",
    "probe": "probe",
    "replay": "replay",
    "run": "run",
    "sandbox": "sandbox",
    "show": "show",
    "spool": "spool",
    "status": "status",
    "support-packet": "support_packet",
    "tokens": "tokens",
    "trigger": "trigger",
    "users": "users",
    "verify": "verify",
    "watch": "watch",
    "web": "web",
    "worker": "worker",
}


class _Commands(click.Group):
    """Imports a command's module when it is called: those of all commands take longer than most commands do.

    A use case's refusal is one sentence and exit code 1, whichever command asked.
    """

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Refused as refused:
            raise click.ClickException(str(refused)) from refused

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if super().get_command(ctx, name) is None:
            return None
        module = _MODULES[name]
        command: click.Command = getattr(importlib.import_module(f"webhook_app.commands.{module}"), module)
        return command


def main() -> None:
    """The console script. No error ends with a traceback, but with one sentence; LOG_LEVEL=debug shows where it was."""
    open_streams()
    try:
        code = cli(standalone_mode=False)
    except click.ClickException as problem:
        with contextlib.suppress(OSError):
            if problem.message == visible_line(problem.message):
                problem.show()
            else:
                say(f"Error: {visible_line(problem.format_message())}", err=True)
        sys.exit(problem.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _end("aborted", 1)
    except ConfigurationError as error:
        _end(str(error), 2)
    except BrokenPipeError:
        sys.exit(_PIPE_CLOSED)
    except Exception as error:  # noqa: BLE001 - the entry point
        _end(_sentence(error), 1)
    sys.exit(code if isinstance(code, int) else 0)


@click.group(cls=_Commands, commands={name: click.Command(name) for name in _MODULES})
@click.version_option(__version__)
def cli() -> None:
    """Receives Proof's payment webhooks and keeps each transaction's authoritative status."""


def _sentence(error: Exception) -> str:
    if _is_a(error, "sqlalchemy.exc", "SQLAlchemyError"):
        return f"the database cannot do that: {first_line(error)}. `webhook-app doctor` says more."
    if _is_a(error, "redis.exceptions", "RedisError"):
        return f"Redis cannot do that: {first_line(error)}. `webhook-app doctor` says more."
    if isinstance(error, OSError):
        return str(error)
    get_logger().debug("unexpected error", exc_info=error)
    what = f"{type(error).__name__}: {first_line(error)} ({_where(error)})"
    return f"unexpected error, {what}. LOG_LEVEL=debug shows more."


def _is_a(error: Exception, module: str, name: str) -> bool:
    """Whether it is of that class. A command that never imported the module has no error of it, and starts sooner."""
    return module in sys.modules and isinstance(error, getattr(sys.modules[module], name))


def _end(message: str, code: int) -> None:
    with contextlib.suppress(OSError):  # nobody is there to be told
        say(f"webhook-app: {visible_line(message)}", err=True)
    sys.exit(code)


def _where(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}, line {frame.lineno}"


if __name__ == "__main__":
    main()
