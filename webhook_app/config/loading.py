"""Settings out of environment variables: each is read, and those that belong together are looked at together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from webhook_app.config.readers import is_sqlite_url, sqlite_url, without_passwords
from webhook_app.config.settings import BY_SETTING, Settings
from webhook_app.config.variables import ConfigurationError, Variable
from webhook_app.domain.networks import is_private, read_address


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Settings from environment variables. An empty variable counts as unset. Raises ConfigurationError."""
    values = {setting: _read(variable, environ) for setting, variable in BY_SETTING.items()}
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


def _read(variable: Variable, environ: Mapping[str, str]) -> Any:
    found = environ.get(variable.name, "").strip() or variable.default
    if found is None:
        return variable.unset
    try:
        return variable.parse(found)
    except ValueError as error:
        shown = "a value that is kept secret" if variable.secret else repr(without_passwords(found))
        raise ConfigurationError(f"{variable.name} is {shown}, but it must be {error}.") from error
