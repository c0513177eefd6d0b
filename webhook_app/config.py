"""The configuration: the one place that reads the environment, once, at start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webhook_app.config_values import (
    Network,
    choice_reader,
    integer_reader,
    number_reader,
    read_database_url,
    read_header_name,
    read_listen_address,
    read_networks,
    read_secret_key,
    read_secrets,
    read_tokens,
    sqlite_url,
    url_reader,
    without_passwords,
)
from webhook_app.domain.gate import Limits
from webhook_app.domain.polling import Cadence
from webhook_app.domain.retry_policy import Budget


class ConfigurationError(Exception):
    """One sentence that names the variable, what was found and what is allowed."""


@dataclass(frozen=True)
class Settings:
    """What is in force. Seconds and counts as named; None where a variable is unset and has no default."""

    data_dir: Path
    database_url: str
    redis_url: str | None
    proof_api_url: str | None
    proof_client_tokens: tuple[str, ...]
    proof_connect_timeout: float
    proof_read_timeout: float
    lease_margin: float
    webhook_secrets: tuple[str, ...]
    webhook_allowed_networks: tuple[Network, ...]
    trusted_proxy_hops: int
    trusted_user_header: str | None
    trusted_user_proxies: tuple[Network, ...]
    session_lifetime: float
    session_idle: float
    session_cookie_secure: str
    ingest_budget: float
    spool_max_bytes: int
    secret_key: str | None
    host: str
    port: int
    web_workers: int
    sandbox_port: int
    sandbox_webhook_url: str | None
    sandbox_speed: float
    sandbox_traffic: float
    budget: Budget
    limits: Limits
    cadence: Cadence
    pending_alert_after: float
    log_format: str
    log_level: str

    @property
    def slowest_call(self) -> float:
        """Seconds that a call to Proof takes at most: with each token once, when one after the other is refused."""
        return (self.proof_connect_timeout + self.proof_read_timeout) * max(len(self.proof_client_tokens), 1)


@dataclass(frozen=True)
class Variable:
    """One environment variable, as `docs/configuration.md` and `webhook-app doctor` list it."""

    name: str
    default: str | None
    meaning: str
    parse: Callable[[str], Any]
    secret: bool = False


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Settings from environment variables. An empty variable counts as unset. Raises ConfigurationError."""
    values = {variable.name: _read(variable, environ) for variable in VARIABLES}
    data_dir: Path = values["WEBHOOK_APP_DATA_DIR"]
    settings = Settings(
        data_dir=data_dir,
        database_url=values["DATABASE_URL"] or sqlite_url(data_dir / "webhook-app.sqlite3"),
        redis_url=values["REDIS_URL"],
        proof_api_url=values["PROOF_API_URL"],
        proof_client_tokens=values["PROOF_CLIENT_TOKEN"] or (),
        proof_connect_timeout=values["PROOF_CONNECT_TIMEOUT"],
        proof_read_timeout=values["PROOF_READ_TIMEOUT"],
        lease_margin=values["LEASE_MARGIN"],
        webhook_secrets=values["PROOF_WEBHOOK_SECRETS"] or (),
        webhook_allowed_networks=values["PROOF_WEBHOOK_ALLOWED_IPS"] or (),
        trusted_proxy_hops=values["TRUSTED_PROXY_HOPS"],
        trusted_user_header=values["TRUSTED_USER_HEADER"],
        trusted_user_proxies=values["TRUSTED_USER_PROXIES"],
        session_lifetime=values["SESSION_LIFETIME"],
        session_idle=values["SESSION_IDLE"],
        session_cookie_secure=values["SESSION_COOKIE_SECURE"],
        ingest_budget=values["INGEST_BUDGET"],
        spool_max_bytes=values["SPOOL_MAX_BYTES"],
        secret_key=values["SECRET_KEY"],
        host=values["HOST"],
        port=values["PORT"],
        web_workers=values["WEB_WORKERS"],
        sandbox_port=values["SANDBOX_PORT"],
        sandbox_webhook_url=values["SANDBOX_WEBHOOK_URL"],
        sandbox_speed=values["SANDBOX_SPEED"],
        sandbox_traffic=values["SANDBOX_TRAFFIC"],
        budget=Budget(
            attempts=values["RETRY_MAX_ATTEMPTS"],
            age_seconds=values["RETRY_MAX_AGE"],
            base_seconds=values["RETRY_BASE"],
            cap_seconds=values["RETRY_CAP"],
        ),
        limits=Limits(
            calls_per_second=values["PROOF_MAX_CALLS_PER_SECOND"],
            concurrency=values["PROOF_MAX_CONCURRENCY"],
            pause_after=values["PAUSE_AFTER_FAILURES"],
            first_probe_seconds=values["PROBE_FIRST"],
            longest_probe_seconds=values["PROBE_CAP"],
        ),
        cadence=Cadence(shortest_seconds=values["POLL_SHORTEST"], longest_seconds=values["POLL_LONGEST"]),
        pending_alert_after=values["PENDING_ALERT_AFTER"],
        log_format=values["LOG_FORMAT"],
        log_level=values["LOG_LEVEL"],
    )
    if settings.proof_api_url and not settings.proof_client_tokens:
        raise ConfigurationError(
            "PROOF_CLIENT_TOKEN is not set, but PROOF_API_URL is: Proof answers only calls with a client token. "
            "Set the token, or unset PROOF_API_URL to work with the sandbox."
        )
    if settings.trusted_user_header and not settings.trusted_proxy_hops:
        raise ConfigurationError(
            "TRUSTED_USER_HEADER is set, but TRUSTED_PROXY_HOPS is 0: without a proxy in front anybody could send that "
            "header. Set TRUSTED_PROXY_HOPS to the number of your proxies, or unset TRUSTED_USER_HEADER."
        )
    return settings


def describe_settings(environ: Mapping[str, str]) -> list[tuple[Variable, str]]:
    """Each variable with the value in force, secrets and passwords masked."""
    return [(variable, _masked(variable, environ.get(variable.name, "").strip())) for variable in VARIABLES]


def _read(variable: Variable, environ: Mapping[str, str]) -> Any:
    found = environ.get(variable.name, "").strip() or variable.default
    if found is None:
        return None
    try:
        return variable.parse(found)
    except ValueError as error:
        shown = "a value that is kept secret" if variable.secret else repr(without_passwords(found))
        raise ConfigurationError(f"{variable.name} is {shown}, but it must be {error}.") from error


def _masked(variable: Variable, found: str) -> str:
    if not found:
        return f"{variable.default} (default)" if variable.default else "(unset)"
    if variable.secret:
        return "(set)"
    return without_passwords(found)


VARIABLES: tuple[Variable, ...] = (
    Variable(
        "DATABASE_URL",
        None,
        "SQLAlchemy URL of SQLite or PostgreSQL; unset: SQLite in the data folder",
        read_database_url,
    ),
    Variable(
        "REDIS_URL",
        None,
        "Redis or Valkey; unset: `run` starts an embedded redis-server in the data folder",
        url_reader("redis", "rediss", "unix"),
    ),
    Variable("PROOF_API_URL", None, "Proof's base URL; unset: `run` starts the sandbox", url_reader("https", "http")),
    Variable(
        "PROOF_CLIENT_TOKEN",
        None,
        "Proof's client token, or several separated by commas, newest first",
        read_tokens,
        secret=True,
    ),
    Variable("PROOF_CONNECT_TIMEOUT", "3", "seconds to connect to Proof", number_reader(0.1, 60)),
    Variable("PROOF_READ_TIMEOUT", "10", "seconds for Proof's whole answer", number_reader(0.1, 120)),
    Variable(
        "LEASE_MARGIN",
        "15",
        "seconds that a worker's lease outlasts its slowest call to Proof; a killed worker's share waits for its end",
        number_reader(1, 3600),
    ),
    Variable(
        "PROOF_MAX_CALLS_PER_SECOND",
        "100",
        "calls per second to Proof, all workers together",
        number_reader(0.1, 10_000),
    ),
    Variable(
        "PROOF_MAX_CONCURRENCY", "32", "calls to Proof under way at once, all workers together", integer_reader(1, 1000)
    ),
    Variable(
        "PROOF_WEBHOOK_SECRETS",
        None,
        "comma-separated; when set, only /webhooks/proof/<secret> is served",
        read_secrets,
        secret=True,
    ),
    Variable(
        "PROOF_WEBHOOK_ALLOWED_IPS",
        None,
        "comma-separated addresses and CIDR ranges that may send webhooks",
        read_networks,
    ),
    Variable(
        "TRUSTED_PROXY_HOPS",
        "0",
        "proxies in front that are ours; X-Forwarded-For is believed that far",
        integer_reader(0, 10),
    ),
    Variable(
        "TRUSTED_USER_HEADER",
        None,
        "header in which a proxy of ours names who is logged in (single sign-on); needs TRUSTED_PROXY_HOPS",
        read_header_name,
    ),
    Variable(
        "TRUSTED_USER_PROXIES",
        "127.0.0.0/8, ::1",
        "comma-separated addresses and CIDR ranges of the proxies whose TRUSTED_USER_HEADER is believed",
        read_networks,
    ),
    Variable("SESSION_LIFETIME", "43200", "seconds after which a person logs in again", number_reader(60, 31_536_000)),
    Variable(
        "SESSION_IDLE", "3600", "seconds without a page after which a person logs in again", number_reader(60, 604_800)
    ),
    Variable(
        "SESSION_COOKIE_SECURE",
        "auto",
        "whether the session cookie is for TLS alone; `auto`: where the page came by TLS, as our proxies tell",
        choice_reader("auto", "always"),
    ),
    Variable(
        "INGEST_BUDGET", "2", "seconds that a webhook waits for SQL before it is spooled", number_reader(0.05, 30)
    ),
    Variable(
        "SPOOL_MAX_BYTES",
        "67108864",
        "bytes of events kept on disk while SQL is away; 0: no spool",
        integer_reader(0, 2**40),
    ),
    Variable(
        "SECRET_KEY",
        None,
        "signs sessions; `run` makes one in the data folder, elsewhere it is required",
        read_secret_key,
        secret=True,
    ),
    Variable("HOST", "127.0.0.1", "address where web listens", read_listen_address),
    Variable("PORT", "8000", "port where web listens", integer_reader(1, 65535)),
    Variable("WEB_WORKERS", "1", "web processes", integer_reader(1, 64)),
    Variable(
        "WEBHOOK_APP_DATA_DIR",
        "./var",
        "folder of embedded databases and generated secrets",
        lambda text: Path(text).resolve(),
    ),
    Variable("RETRY_BASE", "2", "seconds: the first wait of the exponential backoff", number_reader(0.01, 3600)),
    Variable("RETRY_CAP", "600", "seconds: the longest wait of the backoff", number_reader(0.01, 86400)),
    Variable("RETRY_MAX_ATTEMPTS", "20", "attempts before a person has to look", integer_reader(1, 1000)),
    Variable(
        "RETRY_MAX_AGE",
        "86400",
        "seconds of failing before a person has to look, pauses not counted",
        number_reader(1, 31_536_000),
    ),
    Variable(
        "PAUSE_AFTER_FAILURES",
        "5",
        "different transactions failing in a row before all calls pause",
        integer_reader(1, 10_000),
    ),
    Variable(
        "PROBE_FIRST", "5", "seconds from a pause to the first probe; doubles with each", number_reader(0.05, 3600)
    ),
    Variable("PROBE_CAP", "60", "seconds: the longest gap between two probes", number_reader(0.05, 86400)),
    Variable("POLL_SHORTEST", "5", "seconds between two looks at a transaction that moves", number_reader(0.05, 3600)),
    Variable(
        "POLL_LONGEST", "3600", "seconds between two looks at one that has stood for days", number_reader(0.05, 86400)
    ),
    Variable(
        "PENDING_ALERT_AFTER",
        "86400",
        "seconds after which a transaction that is not terminal, or not confirmed at all, is a discrepancy",
        number_reader(1, 31_536_000),
    ),
    Variable(
        "SANDBOX_PORT",
        "8001",
        "port of the sandbox; `run` takes a free one where it is occupied",
        integer_reader(1, 65535),
    ),
    Variable(
        "SANDBOX_WEBHOOK_URL",
        None,
        "where the sandbox sends its webhooks; `run` fills it in",
        url_reader("http", "https"),
    ),
    Variable(
        "SANDBOX_SPEED",
        "1",
        "how many times faster than people the sandbox's payments move",
        number_reader(0.01, 10_000),
    ),
    Variable(
        "SANDBOX_TRAFFIC", "6", "payments a minute that the sandbox starts by itself; 0: none", number_reader(0, 60_000)
    ),
    Variable(
        "LOG_FORMAT",
        "auto",
        "`console` for people, `json` for machines, `auto`: console on a terminal",
        choice_reader("auto", "console", "json"),
    ),
    Variable(
        "LOG_LEVEL", "info", "least severe level that is logged", choice_reader("debug", "info", "warning", "error")
    ),
)
