"""`webhook-app listen`."""

from __future__ import annotations

import asyncio
import signal

import click

from webhook_app.adapters.proof_websocket import ProofWebSocket
from webhook_app.commands.start import start_service
from webhook_app.config import ConfigurationError, Settings
from webhook_app.listen.listener import listen as listen_to_proof
from webhook_app.logs import get_logger
from webhook_app.services import Services, open_services

#: Seconds between two pings, and for the answer to each.
_PING_SECONDS = 10.0


@click.command()
def listen() -> None:
    """Listen to Proof's WebSocket for open transactions. Optional; any number may run."""
    settings = start_service("listen")
    proof = open_websocket(settings)
    services = open_services(settings, pool_size=4)
    try:
        asyncio.run(_run(services, proof))
    finally:
        services.close()


def open_websocket(settings: Settings) -> ProofWebSocket:
    """The client of Proof's WebSocket. Raises ConfigurationError where its address or token is unset."""
    address = settings.websocket_address
    if address is None or not settings.proof_client_tokens:
        raise ConfigurationError(
            "PROOF_API_URL and PROOF_CLIENT_TOKEN are not set: set both, and PROOF_WS_URL where Proof's WebSocket is "
            "not /ws beside its API."
        )
    return ProofWebSocket(
        address,
        settings.proof_client_tokens,
        origin=settings.proof_origin,
        open_timeout=settings.slowest_call,
        ping_seconds=_PING_SECONDS,
    )


async def _run(services: Services, proof: ProofWebSocket) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    get_logger().info("listening", most_connections=services.settings.listen_max_connections)
    await listen_to_proof(services, proof, stop)
    get_logger().info("listening ended")
