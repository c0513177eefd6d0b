"""What `webhook-app run` starts and where: ports, addresses, and the environment of all its processes."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from webhook_app.config import Settings, environment
from webhook_app.run import redis_server
from webhook_app.run.data_folder import keep
from webhook_app.run.guardian import Program
from webhook_app.run.ports import free_port

LOOPBACK = "127.0.0.1"
WEBHOOKS = "/webhooks/proof"
#: Where the data folder keeps the sandbox's client token.
SANDBOX_TOKEN = "sandbox-token"  # noqa: S105 - the name of a file

Command = Callable[..., Program]


@dataclass(frozen=True)
class Plan:
    """What will run where. `command` makes `webhook-app WORDS…` of its words."""

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


def make_plan(settings: Settings, environ: Mapping[str, str], command: Command) -> Plan:
    """Makes the secrets that are missing. Raises OSError where the data folder cannot be used, RedisServerMissing."""
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
        token = ",".join(settings.proof_client_tokens) or keep(data_dir / SANDBOX_TOKEN, secrets.token_urlsafe)
        env |= environment(sandbox_port=str(sandbox_port), proof_api_url=proof_url, proof_client_tokens=token)
    plan = Plan(settings, command, env, redis_argv, redis_url, redis_fault, proof_url, sandbox_port)
    env |= environment(sandbox_webhook_url=settings.sandbox_webhook_url or plan.webhook_url)
    return plan


def _webhook_path(settings: Settings) -> str:
    return "/".join([WEBHOOKS, *settings.webhook_secrets[:1]])


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
