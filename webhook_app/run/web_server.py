"""The web process: granian serving the WSGI application."""

from __future__ import annotations

from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from webhook_app.app import REQUEST_THREADS
from webhook_app.config import Settings


def serve_web(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT; a web worker that dies is started again."""
    Granian(
        "webhook_app.app:create_app_from_environment",
        factory=True,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=settings.web_workers,
        blocking_threads=REQUEST_THREADS,
        respawn_failed_workers=True,
        workers_kill_timeout=10,
        websockets=False,
        log_level=LogLevels.error,
    ).serve()
