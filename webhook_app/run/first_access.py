"""What a new data folder needs before anybody can use the service: an API token, and an account to log in with."""

from __future__ import annotations

import secrets

from webhook_app.run.data_folder import keep, put
from webhook_app.run.http_probe import get, status_of
from webhook_app.run.plan import Plan
from webhook_app.run.supervisor import StartFailed, Supervisor


def keep_token(plan: Plan, supervisor: Supervisor) -> str:
    """Keeps a token that this database knows; returns it where it is a new one, else an empty text."""
    if plan.token_path.exists():
        kept = keep(plan.token_path, str)
        answer = get(plan.web_host, plan.settings.port, "/api/v1/transactions?limit=1", kept) if kept else None
        if kept and status_of(answer) not in (401, 403):
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


def make_account(plan: Plan, supervisor: Supervisor) -> str:
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
