"""`webhook-app sandbox`."""

from __future__ import annotations

import click

from webhook_app.commands.start import start_service
from webhook_app.sandbox.server import SandboxSettings, serve


@click.command()
def sandbox() -> None:
    """Serve the sandbox, a stand-in for Proof."""
    settings = start_service("sandbox")
    serve(
        SandboxSettings(
            port=settings.sandbox_port,
            tokens=settings.proof_client_tokens,
            webhook_url=settings.sandbox_webhook_url,
            speed=settings.sandbox_speed,
            traffic=settings.sandbox_traffic,
            state_file=settings.data_dir / "sandbox.json",
        )
    )
