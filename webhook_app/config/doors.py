"""Who may come in: senders of webhooks, proxies, people and their sessions."""

from __future__ import annotations

from dataclasses import dataclass

from webhook_app.config.readers import (
    Network,
    integer,
    number,
    one_of,
    read_header_name,
    read_networks,
    read_proxy_secrets,
    read_secret_key,
    read_secrets,
)
from webhook_app.config.variables import variable


@dataclass(frozen=True)
class DoorSettings:
    webhook_secrets: tuple[str, ...] = variable(
        None,
        read_secrets,
        "comma-separated; when set, only /webhooks/proof/<secret> is served",
        name="PROOF_WEBHOOK_SECRETS",
        secret=True,
        unset=(),
    )
    webhook_allowed_networks: tuple[Network, ...] = variable(
        None,
        read_networks,
        "comma-separated addresses and CIDR ranges that may send webhooks",
        name="PROOF_WEBHOOK_ALLOWED_IPS",
        unset=(),
    )
    metrics_allowed_networks: tuple[Network, ...] = variable(
        "127.0.0.0/8, ::1",
        read_networks,
        "comma-separated addresses and CIDR ranges that may read /metrics without an API token",
        name="METRICS_ALLOWED_IPS",
    )
    trusted_proxy_hops: int = variable(
        "0", integer(0, 10), "proxies in front that are ours; X-Forwarded-For is believed that far"
    )
    trusted_user_header: str | None = variable(
        None,
        read_header_name,
        "header in which a proxy of ours names who is logged in (single sign-on); needs TRUSTED_PROXY_HOPS and "
        "TRUSTED_USER_SECRET",
    )
    trusted_user_proxies: tuple[Network, ...] = variable(
        "127.0.0.0/8, ::1",
        read_networks,
        "comma-separated addresses and CIDR ranges of the proxies whose TRUSTED_USER_HEADER is believed",
    )
    trusted_user_secrets: tuple[str, ...] = variable(
        None,
        read_proxy_secrets,
        "what the proxy of single sign-on sends in X-Proxy-Secret; several separated by commas, to change it",
        name="TRUSTED_USER_SECRET",
        secret=True,
        unset=(),
    )
    session_lifetime: float = variable("43200", number(60, 31_536_000), "seconds after which a person logs in again")
    session_idle: float = variable(
        "3600", number(60, 604_800), "seconds without a page after which a person logs in again"
    )
    session_cookie_secure: str = variable(
        "auto",
        one_of("auto", "always"),
        "whether the session cookie is for TLS alone; `auto`: where the page came by TLS, as our proxies tell",
    )
    secret_key: str | None = variable(
        None,
        read_secret_key,
        "signs sessions; `run` makes one in the data folder, elsewhere it is required",
        secret=True,
    )
