"""What `webhook-app run` says to the person who started it."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import make_url

from webhook_app.config import Settings
from webhook_app.console import say
from webhook_app.run.data_folder import holder
from webhook_app.run.plan import WEBHOOKS, Plan
from webhook_app.run.ports import free_port, is_taken


def tell(message: str) -> None:
    """On standard output."""
    with contextlib.suppress(OSError):  # that nobody reads it is no reason to stop
        say(message)


def fail(message: str) -> int:
    """On standard error; returns the exit code."""
    with contextlib.suppress(OSError):
        say(message, err=True)
    return 1


def banner(plan: Plan, token: str, log_in: str) -> str:
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
        ("Webhooks", f"POST {plan.web_url}{WEBHOOKS}{'/<secret>' if settings.webhook_secrets else ''}"),
        ("API", f"curl -H {authorization} {plan.web_url}/api/v1/transactions"),
        ("API token", api_token),
        (
            "Proof",
            f"{plan.proof_url}/ (the sandbox: open its page to make a payment)"
            if plan.sandbox_port
            else plan.proof_url,
        ),
        ("Database", masked(settings.database_url)),
        ("Redis", masked(plan.redis_url) + (" (embedded)" if plan.redis_argv else "")),
        ("Data", str(settings.data_dir)),
        ("Stop", "Ctrl-C"),
    ]
    lines = "\n".join(f"  {name:<10} {value}" for name, value in rows)
    return f"\nThe webhook receiver runs.\n\n{lines}\n"


def port_advice(settings: Settings, fault: OSError) -> str:
    where = f"Port {settings.port} on {settings.host}"
    if not is_taken(fault):
        reason = fault.strerror or str(fault)
        return f"{where} cannot be listened on: {reason}. Choose another: HOST=127.0.0.1 PORT=8080 make run"
    port = free_port(settings.host, range(8080, 8100), settings.port)
    pid = holder(settings.data_dir)
    if pid is None:
        return f"{where} is taken by another program. Choose another: PORT={port} make run"
    return (
        f"{where} is taken by another program, the run that is under way on this data folder{name_process(pid)}. "
        f"Choose another: PORT={port} {other_folder(settings, port)} make run"
    )


def other_folder(settings: Settings, port: int) -> str:
    """How to choose a data folder beside this one."""
    folder = settings.data_dir.with_name(f"{settings.data_dir.name}-{port}")
    if folder.parent == Path.cwd():
        folder = Path(folder.name)
    return f"WEBHOOK_APP_DATA_DIR={folder}"


def name_process(pid: int | None) -> str:
    return f" (process {pid})" if pid else ""


def masked(url: str) -> str:
    """Without its password."""
    if "@" not in urlsplit(url).netloc:
        return url
    return make_url(url).render_as_string(hide_password=True)
