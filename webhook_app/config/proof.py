"""How Proof is called, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from webhook_app.config.readers import integer, number, read_origin, read_proof_url, read_tokens, read_websocket_url
from webhook_app.config.variables import variable
from webhook_app.domain.networks import read_address
from webhook_app.domain.websocket_address import WebSocketAddress, derive_address


@dataclass(frozen=True)
class ProofSettings:
    proof_api_url: str | None = variable(None, read_proof_url, "Proof's base URL; unset: `run` starts the sandbox")
    proof_client_tokens: tuple[str, ...] = variable(
        None,
        read_tokens,
        "Proof's client token, or several separated by commas, newest first",
        name="PROOF_CLIENT_TOKEN",
        secret=True,
        unset=(),
    )
    proof_origin: str | None = variable(
        None, read_origin, "the Origin header of each call to Proof, where it knows its partners by that"
    )
    proof_ws_url: str | None = variable(
        None,
        read_websocket_url,
        "where `listen` connects, such as wss://host/ws, or in the older form "
        "wss://host/ws?token={token}&user_id={user_id}; unset: /ws beside PROOF_API_URL",
    )
    listen_max_connections: int = variable(
        "200", integer(1, 10_000), "WebSocket connections of one `listen` process, one for each transaction"
    )
    listen_for: float = variable(
        "3600", number(1, 604_800), "seconds for which an open transaction has a WebSocket connection"
    )
    proof_connect_timeout: float = variable("3", number(0.1, 60), "seconds to connect to Proof")
    proof_read_timeout: float = variable("10", number(0.1, 120), "seconds for Proof's whole answer")
    lease_margin: float = variable(
        "15",
        number(1, 3600),
        "seconds that a worker's lease outlasts its slowest call to Proof; a killed worker's share waits for its end",
    )
    proof_session_budget: float = variable(
        "15", number(1, 120), "seconds for all calls of one request for a session, retries included"
    )
    proof_max_calls_per_second: float = variable(
        "100", number(0.1, 10_000), "calls per second to Proof, all workers together"
    )
    proof_max_concurrency: int = variable(
        "32", integer(1, 1000), "calls to Proof under way at once, all workers together"
    )
    worker_nice: int = variable(
        "10",
        integer(0, 19),
        "steps by which a worker stands back for web where the processor is short, as `nice` has them; not on SQLite",
    )

    @property
    def websocket_address(self) -> WebSocketAddress | None:
        """Where `listen` connects; None without Proof's URL."""
        template = self.proof_ws_url or (derive_address(self.proof_api_url) if self.proof_api_url else None)
        return WebSocketAddress(template) if template else None

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

    @property
    def lease(self) -> timedelta:
        """For how long a claim lasts whose worker says nothing."""
        return timedelta(seconds=self.slowest_call + self.lease_margin)
