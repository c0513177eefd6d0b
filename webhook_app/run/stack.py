"""The whole product on one machine: what `webhook-app run` and `make run` start, in order, and stop again."""

from __future__ import annotations

import contextlib
import http.client
import secrets
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import make_url

from webhook_app.config import Settings, environment
from webhook_app.console import say
from webhook_app.logs import configure_logging
from webhook_app.run import redis_server
from webhook_app.run.data_folder import DataFolderInUse, holder, keep, locked, put
from webhook_app.run.own_files import keep_private
from webhook_app.run.ports import free_port, is_taken, listen_fault
from webhook_app.run.supervisor import Child, StartFailed, Supervisor, ignore_stop_signals

# Deaths before the start counts as failed: 1 + 2 s of waiting.
GIVE_UP_AFTER = 3
READY_SECONDS = 20.0
LOOPBACK = "127.0.0.1"
_WEBHOOKS = "/webhooks/proof"

Command = Callable[..., tuple[str, ...]]


def own_command(*words: str) -> tuple[str, ...]:
    """The command line of `webhook-app WORDS…`, by this very Python."""
    return (sys.executable, "-m", "webhook_app.cli", *words)


def run_stack(settings: Settings, environ: Mapping[str, str], command: Command = own_command) -> int:
    """Starts all that is needed, prints where it is, and stays until SIGINT or SIGTERM; returns the exit code."""
    configure_logging(settings.log_format, settings.log_level, "run")
    if (fault := listen_fault(settings.host, settings.port)) is not None:
        return _fail(_port_advice(settings, fault))
    try:
        with contextlib.ExitStack() as held:
            try:
                lock = held.enter_context(locked(settings.data_dir))
                keep_private(settings.data_dir)
                plan = _plan(settings, environ, command)
            except OSError as error:
                return _fail(f"WEBHOOK_APP_DATA_DIR is {settings.data_dir}, but it cannot be used: {error}")
            return _run_locked(plan, lock)
    except KeyboardInterrupt:
        return 130
    except DataFolderInUse as error:
        return _fail(
            f"The data folder {settings.data_dir} is in use by another run{_process(error.pid)}. "
            f"Stop that one first, or choose another folder: {_other_folder(settings, settings.port)} make run"
        )
    except (StartFailed, redis_server.RedisServerMissing) as error:
        return _fail(str(error))


@dataclass(frozen=True)
class _Plan:
    """What will run where."""

    settings: Settings
    command: Command
    env: Mapping[str, str]
    redis_argv: tuple[str, ...] | None
    redis_url: str
    redis_fault: str | None
    proof_url: str
    sandbox_port: int | None

    @property
    def web_host(self) -> str:
        return {"0.0.0.0": LOOPBACK, "::": "::1"}.get(self.settings.host, self.settings.host)  # noqa: S104 - only read

    @property
    def web_url(self) -> str:
        return f"http://{_in_url(self.web_host)}:{self.settings.port}"

    @property
    def webhook_url(self) -> str:
        return f"{self.web_url}{_webhook_path(self.settings)}"

    @property
    def token_path(self) -> Path:
        return self.settings.data_dir / "api-token"


def _plan(settings: Settings, environ: Mapping[str, str], command: Command) -> _Plan:
    data_dir = settings.data_dir
    redis_argv: tuple[str, ...] | None = None
    redis_fault: str | None = None
    if settings.redis_url is None:
        redis_argv, redis_url = redis_server.redis_argv(data_dir)
    else:
        redis_url = settings.redis_url
        redis_fault = redis_server.redis_fault(redis_url, seconds=3.0)
    env = dict(environ) | environment(
        data_dir=str(data_dir),
        database_url=settings.database_url,
        redis_url=redis_url,
        host=settings.host,
        port=str(settings.port),
        secret_key=settings.secret_key or keep(data_dir / "secret-key", secrets.token_urlsafe),
    )
    proof_url = settings.proof_api_url or ""
    sandbox_port: int | None = None
    if settings.proof_api_url is None:
        sandbox_port = free_port(LOOPBACK, range(settings.sandbox_port, settings.sandbox_port + 20), settings.port)
        proof_url = f"http://{LOOPBACK}:{sandbox_port}"
        token = ",".join(settings.proof_client_tokens) or keep(data_dir / "sandbox-token", secrets.token_urlsafe)
        env |= environment(sandbox_port=str(sandbox_port), proof_api_url=proof_url, proof_client_tokens=token)
    plan = _Plan(settings, command, env, redis_argv, redis_url, redis_fault, proof_url, sandbox_port)
    env |= environment(sandbox_webhook_url=settings.sandbox_webhook_url or plan.webhook_url)
    return plan


def _run_locked(plan: _Plan, lock: int) -> int:
    if plan.redis_fault is not None:
        _tell(
            f"Redis at {_masked(plan.redis_url)} does not answer ({plan.redis_fault}). Starting anyway: events "
            "are kept in SQL, and worker and clock are tried again until Redis is there."
        )
    ignore_stop_signals()
    grace_seconds = plan.settings.slowest_call + 6  # more than the worker gives its own children
    with Supervisor(_children(plan), grace_seconds=grace_seconds, held_files=[lock]) as supervisor:
        _tell(f"Starting {', '.join(supervisor.names)} …")
        upgrade = supervisor.call(plan.command("db", "upgrade"), plan.env)
        if upgrade is None:
            return 0
        if upgrade.returncode != 0:
            words = (upgrade.stderr + upgrade.stdout).strip()
            return _fail(
                f"The database {_masked(plan.settings.database_migration_url)} could not be upgraded:\n{words}"
            )
        if not supervisor.start():
            return 0
        token = _api_token(plan, supervisor)
        log_in = _log_in(plan, supervisor)
        missing = _what_is_not_ready(plan, supervisor)
        if supervisor.stop_asked:
            return 0
        _tell(_banner(plan, token, log_in))
        if missing:
            _tell(f"Not ready yet, after {READY_SECONDS:.0f} s: {missing}")
        supervisor.run()
    return 0


def _children(plan: _Plan) -> list[Child]:
    """Redis first, then the sandbox, then worker and clock, web last; they stop in the opposite order."""
    data_dir = plan.settings.data_dir
    children: list[Child] = []
    if plan.redis_argv is not None:
        redis_server.start_new_log(data_dir)
        children.append(
            Child(
                "redis",
                plan.redis_argv,
                plan.env,
                stage=0,
                is_ready=lambda: redis_server.redis_answers(plan.redis_url),
                repair=lambda: redis_server.set_damaged_aside(data_dir),
                give_up_after=GIVE_UP_AFTER,
                hint=f"Its log is {redis_server.log_path(data_dir)}.",
            )
        )
    above = "What it said stands above."
    if (sandbox_port := plan.sandbox_port) is not None:
        children.append(
            Child(
                "sandbox",
                plan.command("sandbox"),
                plan.env,
                stage=1,
                is_ready=lambda: _get(LOOPBACK, sandbox_port, "/") is not None,
                give_up_after=GIVE_UP_AFTER,
                hint=above,
            )
        )
    patience = GIVE_UP_AFTER if plan.redis_fault is None else None
    children += [
        Child(name, plan.command(name), plan.env, stage=2, give_up_after=patience, hint=above)
        for name in ("worker", "clock")
    ]
    children.append(
        Child(
            "web",
            plan.command("web"),
            plan.env,
            stage=3,
            is_ready=lambda: _status(_get(plan.web_host, plan.settings.port, "/healthz")) == 200,
            give_up_after=GIVE_UP_AFTER,
            hint=above,
        )
    )
    return children


def _api_token(plan: _Plan, supervisor: Supervisor) -> str:
    """Keeps a token that this database knows; returns it where it is a new one, else an empty text."""
    if plan.token_path.exists():
        kept = keep(plan.token_path, str)
        answer = _get(plan.web_host, plan.settings.port, "/api/v1/transactions?limit=1", kept) if kept else None
        if kept and _status(answer) not in (401, 403):
            return ""
    # A name once more, where this database has one from a data folder that is gone.
    said = ""
    for name in ("make-run", f"make-run-{secrets.token_hex(4)}"):
        made = supervisor.call(plan.command("tokens", "create", name, "--role", "admin"), plan.env)
        if made is None:
            return ""
        said = (made.stderr + made.stdout).strip()
        if made.returncode == 0 and made.stdout.strip():
            token = made.stdout.strip().splitlines()[-1].strip()
            put(plan.token_path, token)
            return token
    raise StartFailed(f"No API token could be made:\n{said}")


def _log_in(plan: _Plan, supervisor: Supervisor) -> str:
    """Makes the account `admin` where there is none; how to log in, with the password this once."""
    words = ("users", "create", "admin", "--role", "admin", "--generate", "--if-missing")
    made = supervisor.call(plan.command(*words), plan.env)
    if made is None:
        return ""
    if made.returncode != 0:
        raise StartFailed(f"The account admin could not be made:\n{(made.stderr + made.stdout).strip()}")
    if password := "".join(made.stdout.strip().splitlines()[-1:]):
        return f"admin, password {password} (not shown again)"
    return "admin; its password was shown once. A new one: .venv/bin/webhook-app users set-password admin"


def _what_is_not_ready(plan: _Plan, supervisor: Supervisor) -> str:
    """Waits for `/readyz`; what it says is missing after READY_SECONDS, empty once all is there."""
    deadline = time.monotonic() + READY_SECONDS
    while not supervisor.stop_asked:
        answer = _get(plan.web_host, plan.settings.port, "/readyz")
        restless = supervisor.restless
        if _status(answer) == 200 and not restless:
            return ""
        if time.monotonic() > deadline:
            said = answer[1].decode("utf-8", "replace").strip() if answer else "/readyz does not answer"
            return f"{' and '.join(restless)} ended and may again" if restless else said
        supervisor.run_once(0.2)
    return ""


def _banner(plan: _Plan, token: str, log_in: str) -> str:
    """`token`: a new one, to be shown this once. The webhooks' secret is never shown."""
    settings = plan.settings
    if token:
        authorization = f"'Authorization: Bearer {token}'"
        api_token = f"{token} (role admin; not shown again, kept in {plan.token_path})"
    else:
        authorization = f'"Authorization: Bearer $(cat {shlex.quote(str(plan.token_path))})"'
        api_token = (
            f"kept in {plan.token_path}; it was shown once. A new one: "
            ".venv/bin/webhook-app tokens create NAME --role admin"
        )
    rows = [
        ("Web", f"{plan.web_url}/"),
        ("Log-in", log_in),
        ("Webhooks", f"POST {plan.web_url}{_WEBHOOKS}{'/<secret>' if settings.webhook_secrets else ''}"),
        ("API", f"curl -H {authorization} {plan.web_url}/api/v1/transactions"),
        ("API token", api_token),
        (
            "Proof",
            f"{plan.proof_url}/ (the sandbox: open its page to make a payment)"
            if plan.sandbox_port
            else plan.proof_url,
        ),
        ("Database", _masked(settings.database_url)),
        ("Redis", _masked(plan.redis_url) + (" (embedded)" if plan.redis_argv else "")),
        ("Data", str(settings.data_dir)),
        ("Stop", "Ctrl-C"),
    ]
    lines = "\n".join(f"  {name:<10} {value}" for name, value in rows)
    return f"\nThe webhook receiver runs.\n\n{lines}\n"


def _port_advice(settings: Settings, fault: OSError) -> str:
    where = f"Port {settings.port} on {settings.host}"
    if not is_taken(fault):
        reason = fault.strerror or str(fault)
        return f"{where} cannot be listened on: {reason}. Choose another: HOST=127.0.0.1 PORT=8080 make run"
    port = free_port(settings.host, range(8080, 8100), settings.port)
    pid = holder(settings.data_dir)
    if pid is None:
        return f"{where} is taken by another program. Choose another: PORT={port} make run"
    return (
        f"{where} is taken by another program, the run that is under way on this data folder{_process(pid)}. "
        f"Choose another: PORT={port} {_other_folder(settings, port)} make run"
    )


def _other_folder(settings: Settings, port: int) -> str:
    folder = settings.data_dir.with_name(f"{settings.data_dir.name}-{port}")
    if folder.parent == Path.cwd():
        folder = Path(folder.name)
    return f"WEBHOOK_APP_DATA_DIR={folder}"


def _process(pid: int | None) -> str:
    return f" (process {pid})" if pid else ""


def _webhook_path(settings: Settings) -> str:
    return "/".join([_WEBHOOKS, *settings.webhook_secrets[:1]])


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _masked(url: str) -> str:
    if "@" not in urlsplit(url).netloc:
        return url
    return make_url(url).render_as_string(hide_password=True)


def _get(host: str, port: int, path: str, token: str | None = None) -> tuple[int, bytes] | None:
    """Status and body, None when nobody answers. Never by way of a proxy."""
    connection = http.client.HTTPConnection(host, port, timeout=3)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _status(answer: tuple[int, bytes] | None) -> int | None:
    return answer[0] if answer else None


def _tell(message: str) -> None:
    with contextlib.suppress(OSError):  # that nobody reads it is no reason to stop
        say(message)


def _fail(message: str) -> int:
    with contextlib.suppress(OSError):
        say(message, err=True)
    return 1
