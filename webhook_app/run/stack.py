"""The whole product on one machine: what `webhook-app run` and `make run` start, in order, and stop again."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping
from dataclasses import replace

from webhook_app.config import Settings, environment
from webhook_app.logs import CHANGES, configure_logging
from webhook_app.run import redis_server
from webhook_app.run.children import make_children
from webhook_app.run.data_folder import DataFolderInUse, locked
from webhook_app.run.first_access import keep_token, make_account
from webhook_app.run.forking import own_command
from webhook_app.run.http_probe import get, status_of
from webhook_app.run.messages import banner, fail, masked, name_process, other_folder, port_advice, tell
from webhook_app.run.own_files import keep_private
from webhook_app.run.plan import Command, Plan, make_plan
from webhook_app.run.ports import listen_fault
from webhook_app.run.relapses import RelapseLog
from webhook_app.run.running import noted
from webhook_app.run.supervisor import StartFailed, Supervisor, ignore_stop_signals

READY_SECONDS = 20.0


def run_stack(settings: Settings, environ: Mapping[str, str], command: Command = own_command) -> int:
    """Starts all that is needed, prints where it is, and stays until SIGINT or SIGTERM; returns the exit code."""
    if sys.stderr.isatty() and not environ.get("LOG_LEVEL", "").strip():
        # A line for each payment would push the password off the screen, which is said this once.
        settings, environ = replace(settings, log_level=CHANGES), {**environ, **environment(log_level=CHANGES)}
    configure_logging(settings.log_format, settings.log_level, "run")
    if (fault := listen_fault(settings.host, settings.port)) is not None:
        return fail(port_advice(settings, fault))
    try:
        with contextlib.ExitStack() as held:
            try:
                lock = held.enter_context(locked(settings.data_dir))
                keep_private(settings.data_dir)
                plan = make_plan(settings, environ, command)
            except OSError as error:
                return fail(f"WEBHOOK_APP_DATA_DIR is {settings.data_dir}, but it cannot be used: {error}")
            return _run_locked(plan, lock)
    except KeyboardInterrupt:
        return 130
    except DataFolderInUse as error:
        return fail(
            f"The data folder {settings.data_dir} is in use by another run{name_process(error.pid)}. "
            f"Stop that one first, or choose another folder: {other_folder(settings, settings.port)} make run"
        )
    except (StartFailed, redis_server.RedisServerMissing) as error:
        return fail(str(error))


def _run_locked(plan: Plan, lock: int) -> int:
    if plan.redis_fault is not None:
        tell(
            f"Redis at {masked(plan.redis_url)} does not answer ({plan.redis_fault}). Starting anyway: events "
            "are kept in SQL, and worker and clock are tried again until Redis is there."
        )
    ignore_stop_signals()
    grace_seconds = plan.settings.slowest_call + 3  # a call under way gets the time to end
    with (
        Supervisor(
            make_children(plan),
            grace_seconds=grace_seconds,
            tell_relapse=RelapseLog(plan.settings.data_dir / "incidents").note,
            held_files=[lock],
        ) as supervisor,
        noted(plan),
    ):
        tell(f"Starting {', '.join(supervisor.names)} …")
        upgrade = supervisor.call(plan.command("db", "upgrade"), plan.env)
        if upgrade is None:
            return 0
        if upgrade.returncode != 0:
            words = (upgrade.stderr + upgrade.stdout).strip()
            return fail(f"The database {masked(plan.settings.database_migration_url)} could not be upgraded:\n{words}")
        if not supervisor.start():
            return 0
        token, log_in = _make_first_access(plan, supervisor)
        missing = _what_is_not_ready(plan, supervisor)
        if supervisor.stop_asked:
            return 0
        tell(banner(plan, token, log_in))
        if missing:
            tell(f"Not ready yet, after {READY_SECONDS:.0f} s: {missing}")
        supervisor.run()
    return 0


def _make_first_access(plan: Plan, supervisor: Supervisor) -> tuple[str, str]:
    """The token and how to log in. Where they cannot be made, as on a disk that has just filled up, what runs goes on:
    it takes webhooks in, and the next start makes them."""
    token, log_in = "", "not made yet, see above"
    try:
        token = keep_token(plan, supervisor)
        log_in = make_account(plan, supervisor)
    except (OSError, StartFailed) as problem:
        tell(f"{problem}\nAll else runs. Once that is mended, start again to have it made.")
    return token, log_in


def _what_is_not_ready(plan: Plan, supervisor: Supervisor) -> str:
    """Waits for `/readyz`; what it says is missing after READY_SECONDS, empty once all is there."""
    deadline = time.monotonic() + READY_SECONDS
    while not supervisor.stop_asked:
        answer = get(plan.web_host, plan.settings.port, "/readyz")
        restless = supervisor.restless
        if status_of(answer) == 200 and not restless:
            return ""
        if time.monotonic() > deadline:
            said = answer[1].decode("utf-8", "replace").strip() if answer else "/readyz does not answer"
            return f"{' and '.join(restless)} ended and may again" if restless else said
        supervisor.run_once(0.2)
    return ""
