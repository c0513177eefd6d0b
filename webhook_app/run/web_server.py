"""The web process: granian serving the WSGI application."""

from __future__ import annotations

import os
import signal
import threading
import time

from flask import Flask
from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from webhook_app.app import REQUEST_THREADS, create_app_from_environment
from webhook_app.config import Settings


def serve_web(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT; a web worker that dies is started again."""
    Granian(
        "webhook_app.run.web_server:create_served_app",
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


def create_served_app() -> Flask:
    """What each server process serves. It ends soon after the process that started it, however that one ended:
    otherwise it would go on serving, version and all, beside whatever is started next."""
    threading.Thread(target=_end_with, args=(os.getppid(),), name="parent", daemon=True).start()
    return create_app_from_environment()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
