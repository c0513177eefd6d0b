"""The web process: granian serving the application behind the bridge, and a watchdog that replaces what hangs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels

from webhook_app import __version__
from webhook_app.app import create_app
from webhook_app.config import Settings, load_settings
from webhook_app.error_reports import start_error_reports
from webhook_app.logs import configure_logging, get_logger
from webhook_app.run.forking import can_fork, share_memory
from webhook_app.server.application import DATABASE_CONNECTIONS, ServedApplication
from webhook_app.server.sockets import OTHER_FILES, allow_connections
from webhook_app.server.watchdog import Beat, Reporter, Watchdog
from webhook_app.services import open_services
from webhook_app.tracing import start_tracing

log = get_logger()

#: Bytes that the server holds of a request's head, and of an answer that its client does not take.
_BUFFER = 64 * 1024


Loader = Callable[[Reporter], ServedApplication]


def serve_web(settings: Settings, load: Loader) -> None:
    """Serves until SIGTERM or SIGINT; a server process that dies or hangs is replaced.

    Each one calls `load`. Where they are forked they share what this process has loaded: `load` may hand out an
    application that is made already, and of which nothing was used. Elsewhere it is pickled: a function of a module.
    """
    connections = allow_connections(settings.http_max_connections)
    if connections < settings.http_max_connections:
        log.warning(
            "fewer connections than wanted: the limit of open files is too low",
            connections=connections,
            wanted=settings.http_max_connections,
            files_needed=settings.http_max_connections + OTHER_FILES,
        )
    if can_fork():
        multiprocessing.set_start_method("fork", force=True)  # granian takes it; its own choice depends on the version
        share_memory()
    watchdog = Watchdog(settings.web_silence_limit)
    watchdog.start()
    Granian(
        "webhook_app.run.web_server",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,  # a fifth of a webhook's processor time less than with asyncio's own
        workers=settings.web_workers,
        http=HTTPModes.http1,  # a few bytes of HTTP/2 leave it dead
        http1_settings=HTTP1Settings(
            header_read_timeout=int(settings.http_header_timeout * 1000), max_buffer_size=_BUFFER
        ),
        backpressure=connections,
        respawn_failed_workers=True,
        workers_kill_timeout=10,
        websockets=False,
        log_level=LogLevels.error,
    ).serve(target_loader=partial(_load, load, watchdog.reporter), wrap_loader=False)


def load_served_application(reporter: Reporter) -> ServedApplication:
    """The product, as the environment configures it."""
    settings = load_settings(os.environ)
    configure_logging(settings.log_format, settings.log_level, "web")
    start_error_reports(settings.sentry_dsn, __version__, "web")
    start_tracing(settings.tracing, __version__, "web")
    services = open_services(settings, pool_size=DATABASE_CONNECTIONS)
    return ServedApplication(services, create_app(services), reporter)


def _load(load: Loader, reporter: Reporter) -> ServedApplication:
    """A server process ends soon after the process that started it, however that one ended: otherwise it would go on
    serving, version and all, beside whatever is started next."""
    threading.Thread(target=_end_with, args=(os.getppid(),), name="parent", daemon=True).start()
    reporter.report(Beat.STARTING)
    return load(reporter)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
