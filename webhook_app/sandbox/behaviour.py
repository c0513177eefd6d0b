"""How the sandbox behaves, as set at start and changed while it runs: one frozen value, swapped whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import urlsplit

from webhook_app.sandbox.lifecycles import Outcome

DEFAULT_TOKEN = "sandbox-token"  # noqa: S105 - documented on the sandbox's page, protects nothing


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """Raises ValueError that names the field, where one makes no sense."""

    tokens: tuple[str, ...] = (DEFAULT_TOKEN,)
    """Bearer tokens that are accepted."""
    allowlisted: bool = True
    """False: every API call gets 403 `forbidden_origin`, as if our address were not on Proof's allowlist."""
    webhook_url: str | None = None
    """None: no webhooks are sent."""
    speed: float = 1.0
    """How many times faster than people the lifecycles and the webhooks' delays run."""
    traffic: float = 0.0
    """Lifecycles per minute, on the wall clock, that start by themselves."""
    session_outcome: Outcome = Outcome.ANY
    """What becomes of a session that the API opened."""
    repeated: float = 0.0
    """Fraction of webhooks that are sent two or three times."""
    delayed: float = 0.0
    """Fraction that comes 5 to 60 seconds late, at speed 1."""
    reordered: float = 0.0
    """Fraction that waits for the transaction's next webhook and follows it."""
    dropped: float = 0.0
    """Fraction that is never sent."""
    redeliveries: int = 0
    """How often a webhook that got no 2xx is sent again ("Proof's internal retries")."""
    webhook_timeout: float = 5.0
    """Seconds given to the receiver."""
    disallowed_currencies: tuple[str, ...] = ("XRP",)
    """`currency_not_allowed`, beside every currency that the catalogue does not have."""
    unsupported_wallets: tuple[str, ...] = ("USDC/SOL",)
    """`CURRENCY/NETWORK` pairs of the catalogue that answer `wallet_not_supported`, beside those it does not have."""

    def __post_init__(self) -> None:
        if not self.tokens:
            raise ValueError("tokens: at least one is needed")
        if not 0.01 <= self.speed <= 1_000_000:
            raise ValueError("speed: must be from 0.01 to 1000000")
        if not 0 <= self.traffic <= 60_000:
            raise ValueError("traffic: must be from 0 to 60000 a minute")
        for name in ("repeated", "delayed", "reordered", "dropped"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: must be a fraction from 0 to 1")
        if not 0 <= self.redeliveries <= 1000:
            raise ValueError("redeliveries: must be from 0 to 1000")
        if not 0.01 <= self.webhook_timeout <= 600:
            raise ValueError("webhook_timeout: must be from 0.01 to 600 seconds")
        if self.webhook_url is not None and not _is_http_url(self.webhook_url):
            raise ValueError("webhook_url: must start with http:// or https://")

    def changed(self, changes: Mapping[str, object]) -> Behaviour:
        """With the given fields set, from JSON values. Raises ValueError for unknown fields and impossible values."""
        known = {field.name for field in fields(Behaviour)}
        for name in changes:
            if name not in known:
                raise ValueError(f"{name}: there is no such setting")
        values: dict[str, Any] = {name: _READERS[name](name, value) for name, value in changes.items()}
        return replace(self, **values)

    def to_json(self) -> dict[str, object]:
        """Without the tokens, which nobody needs to read back."""
        return {
            field.name: list(value) if isinstance(value := getattr(self, field.name), tuple) else value
            for field in fields(Behaviour)
            if field.name != "tokens"
        }


def _is_http_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name}: must be a number")
    return float(value)


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name}: must be a whole number")
    return value


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name}: must be true or false")
    return value


def _texts(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{name}: must be a list of strings")
    return tuple(value)


def _url(name: str, value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name}: must be a string or null")
    return value or None


def _outcome(name: str, value: object) -> Outcome:
    try:
        return Outcome(str(value))
    except ValueError:
        raise ValueError(f"{name}: must be one of {', '.join(Outcome)}") from None


_READERS: dict[str, Callable[[str, object], object]] = {
    "tokens": _texts,
    "allowlisted": _flag,
    "webhook_url": _url,
    "speed": _number,
    "traffic": _number,
    "session_outcome": _outcome,
    "repeated": _number,
    "delayed": _number,
    "reordered": _number,
    "dropped": _number,
    "redeliveries": _whole,
    "webhook_timeout": _number,
    "disallowed_currencies": _texts,
    "unsupported_wallets": _texts,
}
