"""The configuration: each environment variable is declared once, as a field of Settings, and read once, at start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from webhook_app.config_notify import (
    read_flag,
    read_incident_kinds,
    read_mail_address,
    read_mail_addresses,
    read_quiet_hours,
    read_routing_key,
    read_severity,
    read_signing_secret,
)
from webhook_app.config_values import (
    Network,
    integer,
    is_sqlite_url,
    number,
    one_of,
    read_database_url,
    read_folder,
    read_header_name,
    read_listen_address,
    read_networks,
    read_origin,
    read_proof_url,
    read_proxy_secrets,
    read_redis_url,
    read_secret_key,
    read_secrets,
    read_tokens,
    read_websocket_url,
    sqlite_url,
    url,
    without_passwords,
)
from webhook_app.domain.gate import Limits
from webhook_app.domain.networks import is_private, read_address
from webhook_app.domain.notices import QuietHours
from webhook_app.domain.polling import Cadence, OverdueAfter
from webhook_app.domain.proof_values import BUY, SELL
from webhook_app.domain.retry_policy import Budget
from webhook_app.domain.severity import Severity
from webhook_app.domain.text import visible_line
from webhook_app.domain.time_zones import read_zone
from webhook_app.domain.websocket_address import WebSocketAddress, derive_address


class ConfigurationError(Exception):
    """One sentence that names the variable, what was found and what is allowed."""


@dataclass(frozen=True)
class Variable:
    """One environment variable, as `docs/configuration.md` and `webhook-app doctor` list it."""

    name: str
    default: str | None
    parse: Callable[[str], Any]
    meaning: str
    secret: bool
    unset: object
    """The setting's value where the variable is unset and has no default."""


def _variable(
    default: str | None,
    parse: Callable[[str], Any],
    meaning: str,
    *,
    name: str = "",
    secret: bool = False,
    unset: object = None,
) -> Any:
    """A field of Settings. The variable has the field's name in capitals, unless `name` says otherwise."""
    return field(metadata={"variable": Variable(name, default, parse, meaning, secret, unset)})


@dataclass(frozen=True)
class Settings:
    """What is in force. A new variable needs one field here and its row in `docs/configuration.md`, in this order."""

    database_url: str = _variable(
        None, read_database_url, "SQLAlchemy URL of SQLite or PostgreSQL; unset: SQLite in the data folder"
    )
    database_migration_url: str = _variable(
        None,
        read_database_url,
        "PostgreSQL's own address, for migrations, where DATABASE_URL is a pooler's; unset: DATABASE_URL",
    )
    redis_url: str | None = _variable(
        None,
        read_redis_url,
        "Redis or Valkey; unset: `run` starts an embedded redis-server in the data folder",
    )
    proof_api_url: str | None = _variable(None, read_proof_url, "Proof's base URL; unset: `run` starts the sandbox")
    proof_client_tokens: tuple[str, ...] = _variable(
        None,
        read_tokens,
        "Proof's client token, or several separated by commas, newest first",
        name="PROOF_CLIENT_TOKEN",
        secret=True,
        unset=(),
    )
    proof_origin: str | None = _variable(
        None, read_origin, "the Origin header of each call to Proof, where it knows its partners by that"
    )
    proof_ws_url: str | None = _variable(
        None,
        read_websocket_url,
        "where `listen` connects, such as wss://host/ws, or in the older form "
        "wss://host/ws?token={token}&user_id={user_id}; unset: /ws beside PROOF_API_URL",
    )
    listen_max_connections: int = _variable(
        "200", integer(1, 10_000), "WebSocket connections of one `listen` process, one for each transaction"
    )
    listen_for: float = _variable(
        "3600", number(1, 604_800), "seconds for which an open transaction has a WebSocket connection"
    )
    proof_connect_timeout: float = _variable("3", number(0.1, 60), "seconds to connect to Proof")
    proof_read_timeout: float = _variable("10", number(0.1, 120), "seconds for Proof's whole answer")
    lease_margin: float = _variable(
        "15",
        number(1, 3600),
        "seconds that a worker's lease outlasts its slowest call to Proof; a killed worker's share waits for its end",
    )
    proof_session_budget: float = _variable(
        "15", number(1, 120), "seconds for all calls of one request for a session, retries included"
    )
    proof_max_calls_per_second: float = _variable(
        "100", number(0.1, 10_000), "calls per second to Proof, all workers together"
    )
    proof_max_concurrency: int = _variable(
        "32", integer(1, 1000), "calls to Proof under way at once, all workers together"
    )
    webhook_secrets: tuple[str, ...] = _variable(
        None,
        read_secrets,
        "comma-separated; when set, only /webhooks/proof/<secret> is served",
        name="PROOF_WEBHOOK_SECRETS",
        secret=True,
        unset=(),
    )
    webhook_allowed_networks: tuple[Network, ...] = _variable(
        None,
        read_networks,
        "comma-separated addresses and CIDR ranges that may send webhooks",
        name="PROOF_WEBHOOK_ALLOWED_IPS",
        unset=(),
    )
    metrics_allowed_networks: tuple[Network, ...] = _variable(
        "127.0.0.0/8, ::1",
        read_networks,
        "comma-separated addresses and CIDR ranges that may read /metrics without an API token",
        name="METRICS_ALLOWED_IPS",
    )
    trusted_proxy_hops: int = _variable(
        "0", integer(0, 10), "proxies in front that are ours; X-Forwarded-For is believed that far"
    )
    trusted_user_header: str | None = _variable(
        None,
        read_header_name,
        "header in which a proxy of ours names who is logged in (single sign-on); needs TRUSTED_PROXY_HOPS and "
        "TRUSTED_USER_SECRET",
    )
    trusted_user_proxies: tuple[Network, ...] = _variable(
        "127.0.0.0/8, ::1",
        read_networks,
        "comma-separated addresses and CIDR ranges of the proxies whose TRUSTED_USER_HEADER is believed",
    )
    trusted_user_secrets: tuple[str, ...] = _variable(
        None,
        read_proxy_secrets,
        "what the proxy of single sign-on sends in X-Proxy-Secret; several separated by commas, to change it",
        name="TRUSTED_USER_SECRET",
        secret=True,
        unset=(),
    )
    session_lifetime: float = _variable("43200", number(60, 31_536_000), "seconds after which a person logs in again")
    session_idle: float = _variable(
        "3600", number(60, 604_800), "seconds without a page after which a person logs in again"
    )
    session_cookie_secure: str = _variable(
        "auto",
        one_of("auto", "always"),
        "whether the session cookie is for TLS alone; `auto`: where the page came by TLS, as our proxies tell",
    )
    ingest_budget: float = _variable("2", number(0.05, 30), "seconds that a webhook waits for SQL before it is spooled")
    spool_max_bytes: int = _variable(
        "67108864",
        integer(0, 2**40),
        "bytes of events kept on disk while SQL takes none, and of what is set aside there; 0: no spool",
    )
    secret_key: str | None = _variable(
        None,
        read_secret_key,
        "signs sessions; `run` makes one in the data folder, elsewhere it is required",
        secret=True,
    )
    host: str = _variable("127.0.0.1", read_listen_address, "address where web listens")
    port: int = _variable("8000", integer(1, 65535), "port where web listens")
    web_workers: int = _variable("1", integer(1, 64), "web processes")
    web_silence_limit: float = _variable(
        "10", number(2, 3600), "seconds after which a web process that no longer answers is replaced"
    )
    http_header_timeout: float = _variable(
        "5", number(0.1, 3600), "seconds for a request's headers; an idle connection is kept as long"
    )
    http_body_timeout: float = _variable("5", number(0.1, 3600), "seconds for a request's whole body")
    http_send_timeout: float = _variable(
        "60", number(1, 3600), "seconds for which a client may take nothing of its answer"
    )
    http_max_connections: int = _variable(
        "8192", integer(64, 1_000_000), "connections of one web process, idle ones too"
    )
    http_max_bodies: int = _variable("1024", integer(8, 1_000_000), "bodies under way in one web process")
    http_max_bodies_per_client: int = _variable(
        "128", integer(1, 1_000_000), "bodies under way of one client: an IPv4 address, or the /64 of one of IPv6"
    )
    data_dir: Path = _variable(  # noqa: RUF009 - it makes a dataclass field
        "./var", read_folder, "folder of embedded databases and generated secrets", name="WEBHOOK_APP_DATA_DIR"
    )
    retry_base: float = _variable("2", number(0.01, 3600), "seconds: the first wait of the exponential backoff")
    retry_cap: float = _variable("600", number(0.01, 86400), "seconds: the longest wait of the backoff")
    retry_max_attempts: int = _variable("20", integer(1, 1000), "attempts before a person has to look")
    retry_max_age: float = _variable(
        "86400", number(1, 31_536_000), "seconds of failing before a person has to look, pauses not counted"
    )
    pause_after_failures: int = _variable(
        "5", integer(1, 10_000), "different transactions that fail before all calls pause, where none is answered"
    )
    probe_first: float = _variable(
        "5", number(0.05, 3600), "seconds from a pause to the first probe; doubles with each"
    )
    probe_cap: float = _variable("60", number(0.05, 86400), "seconds: the longest gap between two probes")
    poll_shortest: float = _variable("5", number(0.05, 3600), "seconds between two looks at a transaction that moves")
    poll_longest: float = _variable(
        "3600", number(0.05, 86400), "seconds between two looks at one that has stood for days"
    )
    poll_end: float = _variable(
        "604800",
        number(60, 31_536_000),
        "seconds after which a transaction that still has the same status is no longer polled, and is a discrepancy",
    )
    poll_sell: float = _variable(
        "60", number(0.05, 3600), "seconds at least between two looks at a sell that waits for the user's crypto"
    )
    sell_window: float = _variable(
        "21600",
        number(1, 31_536_000),
        "seconds after which Proof fails a sell that got no crypto; it is looked at just after them",
    )
    pending_alert_after: float = _variable(
        "86400",
        number(1, 31_536_000),
        "seconds after which a transaction that is not terminal, or not confirmed at all, is a discrepancy",
    )
    pending_alert_after_buy: float | None = _variable(
        None, number(1, 31_536_000), "the same for buys alone; unset: PENDING_ALERT_AFTER"
    )
    pending_alert_after_sell: float | None = _variable(
        None, number(1, 31_536_000), "the same for sells alone; unset: PENDING_ALERT_AFTER"
    )
    notify_webhook_url: str | None = _variable(
        None, url("https", "http"), "where incidents are sent, signed by Standard Webhooks", secret=True
    )
    notify_webhook_secret: str | None = _variable(
        None, read_signing_secret, "signs them: `whsec_` and 24 to 64 bytes in base64", secret=True
    )
    notify_slack_url: str | None = _variable(
        None, url("https", "http"), "incoming webhook of Slack, or of what takes the same", secret=True
    )
    notify_teams_url: str | None = _variable(
        None, url("https", "http"), "workflow of Microsoft Teams that takes an Adaptive Card", secret=True
    )
    notify_pagerduty_key: str | None = _variable(
        None, read_routing_key, "integration key of PagerDuty's Events API v2", secret=True
    )
    notify_pagerduty_url: str = _variable(
        "https://events.pagerduty.com/v2/enqueue", url("https", "http"), "where PagerDuty takes events"
    )
    notify_smtp_url: str | None = _variable(
        None,
        url("smtp", "smtps"),
        "mail server, smtp://user:password@host:587 or smtps://…; needs NOTIFY_MAIL_FROM and NOTIFY_MAIL_TO",
        secret=True,
    )
    notify_mail_from: str | None = _variable(None, read_mail_address, "sender of these mails")
    notify_mail_to: tuple[str, ...] = _variable(
        None, read_mail_addresses, "who gets these mails, separated by commas", unset=()
    )
    notify_severity: Severity = _variable(  # noqa: RUF009 - it makes a dataclass field
        "warning", read_severity, "least severe incidents that are sent: critical, warning or info"
    )
    notify_kinds: tuple[str, ...] = _variable(
        None, read_incident_kinds, "kinds of incident that are sent, separated by commas; unset: all", unset=()
    )
    notify_after: float = _variable(
        "60", number(0, 86_400), "seconds that an incident must last before it is sent; 0: at once"
    )
    notify_remind_every: float = _variable(
        "14400", number(0, 604_800), "seconds between two reminders of one that is still open; 0: none"
    )
    notify_quiet_hours: QuietHours | None = _variable(  # noqa: RUF009 - it makes a dataclass field
        None,
        read_quiet_hours,
        "when only critical incidents are sent, such as 22:00-07:00; the others wait for its end",
    )
    notify_time_zone: ZoneInfo = _variable(  # noqa: RUF009 - it makes a dataclass field
        "UTC", read_zone, "time zone of NOTIFY_QUIET_HOURS, such as Europe/Paris"
    )
    notify_heartbeat_url: str | None = _variable(
        None,
        url("https", "http"),
        "is asked for by GET each minute while all lives, so that a watcher outside misses it when the host dies",
        secret=True,
    )
    notify_allow_private: bool = _variable(
        "false", read_flag, "whether the addresses above may be of this host or of a private network; mail always may"
    )
    sandbox_port: int = _variable(
        "8001", integer(1, 65535), "port of the sandbox; `run` takes a free one where it is occupied"
    )
    sandbox_webhook_url: str | None = _variable(
        None, url("http", "https"), "where the sandbox sends its webhooks; `run` fills it in"
    )
    sandbox_speed: float = _variable(
        "1", number(0.01, 10_000), "how many times faster than people the sandbox's payments move"
    )
    sandbox_traffic: float = _variable(
        "6", number(0, 60_000), "payments a minute that the sandbox starts by itself; 0: none"
    )
    log_format: str = _variable(
        "auto",
        one_of("auto", "console", "json"),
        "`console` for people, `json` for machines, `auto`: console on a terminal",
    )
    log_level: str = _variable(
        "info",
        one_of("debug", "info", "changes", "warning", "error"),
        "least severe level that is logged; `changes`: as `info`, without a line for each payment, as `run` logs on a "
        "terminal where this is unset",
    )
    sentry_dsn: str | None = _variable(
        None, url("https", "http"), "where errors are sent (Sentry); needs the extra `sentry`", secret=True
    )

    @property
    def budget(self) -> Budget:
        return Budget(self.retry_max_attempts, self.retry_max_age, self.retry_base, self.retry_cap)

    @property
    def limits(self) -> Limits:
        return Limits(
            self.proof_max_calls_per_second,
            self.proof_max_concurrency,
            self.pause_after_failures,
            self.probe_first,
            self.probe_cap,
            self.slowest_call,
        )

    @property
    def cadence(self) -> Cadence:
        return Cadence(self.poll_shortest, self.poll_longest, self.poll_end, self.poll_sell, self.sell_window)

    @property
    def overdue_after(self) -> OverdueAfter:
        of_type = {BUY: self.pending_alert_after_buy, SELL: self.pending_alert_after_sell}
        return OverdueAfter(
            timedelta(seconds=self.pending_alert_after),
            {name: timedelta(seconds=seconds) for name, seconds in of_type.items() if seconds is not None},
        )

    @property
    def websocket_address(self) -> WebSocketAddress | None:
        """Where `listen` connects; None without Proof's URL."""
        template = self.proof_ws_url or (derive_address(self.proof_api_url) if self.proof_api_url else None)
        return WebSocketAddress(template) if template else None

    @property
    def notify_addresses(self) -> Mapping[str, str]:
        """Where HTTP requests go because of incidents, by the variable that says so."""
        found = {
            "NOTIFY_WEBHOOK_URL": self.notify_webhook_url,
            "NOTIFY_SLACK_URL": self.notify_slack_url,
            "NOTIFY_TEAMS_URL": self.notify_teams_url,
            "NOTIFY_PAGERDUTY_URL": self.notify_pagerduty_url if self.notify_pagerduty_key else None,
            "NOTIFY_HEARTBEAT_URL": self.notify_heartbeat_url,
        }
        return {name: address for name, address in found.items() if address}

    @property
    def is_sandbox(self) -> bool:
        """Whether no real money moves: Proof is a sandbox by its name, or on this very host."""
        host = urlsplit(self.proof_api_url or "").hostname or ""
        address = read_address(host)
        return host == "localhost" or "sandbox" in host or (address is not None and address.is_loopback)

    @property
    def slowest_call(self) -> float:
        """Seconds that a call to Proof takes at most, also when one token after the other is refused."""
        return self.proof_connect_timeout + self.proof_read_timeout


def _declared() -> dict[str, Variable]:
    declared: dict[str, Variable] = {one.name: one.metadata["variable"] for one in fields(Settings)}
    return {name: replace(variable, name=variable.name or name.upper()) for name, variable in declared.items()}


_BY_SETTING = _declared()
VARIABLES = tuple(_BY_SETTING.values())


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Settings from environment variables. An empty variable counts as unset. Raises ConfigurationError."""
    values = {setting: _read(variable, environ) for setting, variable in _BY_SETTING.items()}
    values["database_url"] = values["database_url"] or sqlite_url(values["data_dir"] / "webhook-app.sqlite3")
    values["database_migration_url"] = values["database_migration_url"] or values["database_url"]
    settings = Settings(**values)
    if is_sqlite_url(settings.database_migration_url) != is_sqlite_url(settings.database_url):
        raise ConfigurationError(
            "DATABASE_MIGRATION_URL and DATABASE_URL must lead to one database, but one is the URL of a PostgreSQL "
            "database and the other that of an SQLite file. Unset DATABASE_MIGRATION_URL, or correct one of them."
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
    if settings.trusted_user_header and not settings.trusted_user_secrets:
        raise ConfigurationError(
            "TRUSTED_USER_SECRET is not set, but TRUSTED_USER_HEADER is: whoever reaches this service past the proxy "
            "could send that header too. Set it to at least 16 random characters, and let the proxy send them in "
            "X-Proxy-Secret with every request (docs/proxies.md shows how), or unset TRUSTED_USER_HEADER."
        )
    _check_notifications(settings)
    return settings


def _check_notifications(settings: Settings) -> None:
    """Raises ConfigurationError where half of something is set, or an address is private by its looks."""
    if bool(settings.notify_webhook_url) != bool(settings.notify_webhook_secret):
        raise ConfigurationError(
            "NOTIFY_WEBHOOK_URL and NOTIFY_WEBHOOK_SECRET belong together, but only one of them is set: what is sent "
            "there is signed. Set both, or none."
        )
    mail = (settings.notify_smtp_url, settings.notify_mail_from, settings.notify_mail_to)
    if any(mail) and not all(mail):
        raise ConfigurationError(
            "NOTIFY_SMTP_URL, NOTIFY_MAIL_FROM and NOTIFY_MAIL_TO belong together, but one of them is missing. Set all "
            "three, or none."
        )
    for name, address in settings.notify_addresses.items():
        host = (urlsplit(address).hostname or "").rstrip(".")
        looks_private = host == "localhost" or host.endswith(".localhost")
        if looks_private or (read_address(host.partition("%")[0]) is not None and is_private(host)):
            refuse_private(settings, name)


def refuse_private(settings: Settings, name: str) -> None:
    """Raises ConfigurationError, unless private addresses are allowed."""
    if not settings.notify_allow_private:
        raise ConfigurationError(
            f"{name} leads to this host or to a private network. Correct it, or set NOTIFY_ALLOW_PRIVATE=true if that "
            "is meant."
        )


def environment(**values: str) -> dict[str, str]:
    """Environment variables for another process, each named by its setting: `environment(port="8000")`."""
    return {_BY_SETTING[setting].name: value for setting, value in values.items()}


def describe_settings(environ: Mapping[str, str]) -> list[tuple[Variable, str]]:
    """Each variable with the value in force, secrets and passwords masked."""
    # An address of ours, such as SANDBOX_WEBHOOK_URL, may have the webhooks' secret in it.
    hidden = [part.strip() for part in environ.get("PROOF_WEBHOOK_SECRETS", "").split(",") if part.strip()]
    return [(variable, _masked(variable, environ.get(variable.name, "").strip(), hidden)) for variable in VARIABLES]


def _read(variable: Variable, environ: Mapping[str, str]) -> Any:
    found = environ.get(variable.name, "").strip() or variable.default
    if found is None:
        return variable.unset
    try:
        return variable.parse(found)
    except ValueError as error:
        shown = "a value that is kept secret" if variable.secret else repr(without_passwords(found))
        raise ConfigurationError(f"{variable.name} is {shown}, but it must be {error}.") from error


def _masked(variable: Variable, found: str, hidden: Sequence[str]) -> str:
    if not found:
        return f"{variable.default} (default)" if variable.default else "(unset)"
    if variable.secret:
        return "(set)"
    for secret in hidden:
        found = found.replace(secret, "***")
    return visible_line(without_passwords(found))
