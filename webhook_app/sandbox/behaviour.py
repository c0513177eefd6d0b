"""How the sandbox behaves, as set at start and changed while it runs: one frozen value, swapped whole."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from webhook_app.sandbox.dialects import Dialect
from webhook_app.sandbox.lifecycles import Ending
from webhook_app.sandbox.update_faults import UpdateFault

DEFAULT_TOKEN = "sandbox-token"  # noqa: S105 - documented on the sandbox's page, protects nothing

#: The least and the largest value of each number.
_RANGES = {
    "speed": (0.01, 1_000_000),
    "traffic": (0, 60_000),
    "repeated": (0, 1),
    "delayed": (0, 1),
    "reordered": (0, 1),
    "dropped": (0, 1),
    "redeliveries": (0, 1000),
    "webhook_timeout": (0.01, 600),
    "update_fault_rate": (0, 1),
    "update_delay": (0, 3600),
}


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
    session_outcome: Ending = Ending.ANY
    """How a session that the API opened goes on."""
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
    dialect: Dialect = Dialect.TODAY
    """How errors are put, and what the WebSocket asks for: a transaction's id, or in the older form a user's."""
    origins: tuple[str, ...] = ()
    """Where there are some, a call without one of them as its `Origin` gets 403 `forbidden_origin`."""
    websocket: bool = True
    """False: there is no `/ws`."""
    update_fault: UpdateFault | None = None
    """What becomes of `tx.update` messages."""
    update_fault_rate: float = 1.0
    """Fraction of them that `update_fault` spoils."""
    update_delay: float = 5.0
    """Seconds that a slow one is late."""

    def __post_init__(self) -> None:
        if not self.tokens:
            raise ValueError("tokens: At least one is needed.")
        for name, (low, high) in _RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: Must be from {low} to {high}.")
        if self.webhook_url is not None and not _is_http_url(self.webhook_url):
            raise ValueError("webhook_url: Must start with http:// or https://.")


def _is_http_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False
