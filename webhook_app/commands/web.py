"""`webhook-app web`. In a module of its own: no other process needs Flask, nor the time and memory that it takes."""

from __future__ import annotations

import click

from webhook_app.app import create_app
from webhook_app.commands.options import start_service
from webhook_app.run.web_server import load_served_application, serve_web
from webhook_app.services import open_services


@click.command()
def web() -> None:
    """Serve webhooks, API and health."""
    settings = start_service("web")
    create_app(open_services(settings))  # a wrong configuration shows here, once, not in every server process
    serve_web(settings, load_served_application)
