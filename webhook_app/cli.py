"""`webhook-app`: puts the commands together."""

from __future__ import annotations

import contextlib
import sys
import traceback
from pathlib import Path

import click
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from webhook_app import __version__
from webhook_app.commands.db import db
from webhook_app.commands.doctor import doctor
from webhook_app.commands.export import export
from webhook_app.commands.processes import clock, run, sandbox, web, worker
from webhook_app.commands.replay import replay
from webhook_app.commands.tokens import tokens
from webhook_app.commands.users import users
from webhook_app.config import ConfigurationError
from webhook_app.console import open_streams, say
from webhook_app.domain.text import visible_line
from webhook_app.logs import get_logger

#: As a shell tells of a pipe that nobody reads: 128 and the signal's number.
_PIPE_CLOSED = 141


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
    except SQLAlchemyError as error:
        _end(f"the database cannot do that: {_first_line(error)}. `webhook-app doctor` says more.", 1)
    except RedisError as error:
        _end(f"Redis cannot do that: {_first_line(error)}. `webhook-app doctor` says more.", 1)
    except OSError as error:
        _end(str(error), 1)
    except Exception as error:  # noqa: BLE001 - the entry point
        get_logger().debug("unexpected error", exc_info=error)
        what = f"{type(error).__name__}: {_first_line(error)} ({_where(error)})"
        _end(f"unexpected error, {what}. LOG_LEVEL=debug shows more.", 1)
    sys.exit(code if isinstance(code, int) else 0)


@click.group()
@click.version_option(__version__)
def cli() -> None:
    """Receives Proof's payment webhooks and keeps each transaction's authoritative status."""


for command in (run, web, worker, clock, sandbox, doctor, db, users, tokens, replay, export):
    cli.add_command(command)


def _end(message: str, code: int) -> None:
    with contextlib.suppress(OSError):  # nobody is there to be told
        say(f"webhook-app: {visible_line(message)}", err=True)
    sys.exit(code)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _where(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}, line {frame.lineno}"


if __name__ == "__main__":
    main()
