"""`webhook-app web`. In a module of its own: no other process needs Flask, nor the time and memory that it takes."""

from __future__ import annotations

from functools import partial

import click

from webhook_app.app import create_app
from webhook_app.commands.start import start_service
from webhook_app.run.forking import can_fork
from webhook_app.run.web_server import load_served_application, serve_web
from webhook_app.server.application import DATABASE_CONNECTIONS, ServedApplication
from webhook_app.services import open_services, refuse_private_addresses


@click.command()
def web() -> None:
    """Serve webhooks, API and health."""
    settings = start_service("web")
    refuse_private_addresses(settings)
    services = open_services(settings, pool_size=DATABASE_CONNECTIONS)
    app = create_app(services)  # a wrong configuration shows here, once, not in every server process
    serve_web(settings, partial(ServedApplication, services, app) if can_fork() else load_served_application)
