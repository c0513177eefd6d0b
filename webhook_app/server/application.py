"""What a web process serves: the application behind the bridge, with a heart that beats while the event loop turns."""

from __future__ import annotations

import asyncio

from webhook_app.app import create_app
from webhook_app.config import Settings
from webhook_app.logs import get_logger
from webhook_app.server.asgi import Receive, Scope, Send
from webhook_app.server.bodies import Bodies
from webhook_app.server.bridge import Bridge
from webhook_app.server.kinds import LANES
from webhook_app.server.sockets import end_stalled_connections
from webhook_app.server.watchdog import BEAT, Beat, Reporter
from webhook_app.services import open_services

log = get_logger()

#: Intake has a thread that writes and one that drains the spool.
_INTAKE_CONNECTIONS = 2

#: Database connections of a web process: enough for all lanes at once, so that none waits for another's.
DATABASE_CONNECTIONS = sum(size.connections for size in LANES.values()) + _INTAKE_CONNECTIONS


class WebApplication:
    """An ASGI application with a lifespan: services open with it and are closed at its end."""

    def __init__(self, settings: Settings, reporter: Reporter) -> None:
        reporter.report(Beat.STARTING)
        self._settings = settings
        self._reporter = reporter
        self._services = open_services(settings, pool_size=DATABASE_CONNECTIONS)
        self._bridge = Bridge(
            create_app(self._services),
            Bodies(settings.http_body_timeout, settings.http_max_bodies, settings.http_max_bodies_per_client),
            hops=settings.trusted_proxy_hops,
            ingest_budget=settings.ingest_budget,
            longest_stall=settings.http_send_timeout,
        )
        self._services.intake.start()  # what a process that died has left in the spool waits for no new event

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._bridge(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        heart = asyncio.create_task(self._beat())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        heart.cancel()
        await asyncio.to_thread(self._services.close)
        await send({"type": "lifespan.shutdown.complete"})

    async def _beat(self) -> None:
        self._reporter.report(Beat.ALIVE)
        await asyncio.sleep(BEAT)  # the server listens by now
        try:
            end_stalled_connections(self._settings.port, self._settings.http_send_timeout)
        except OSError as error:
            log.error("connections whose client takes nothing are not ended", error=str(error))
        while True:
            stuck = self._bridge.takes_no_webhooks(self._settings.web_silence_limit)
            self._reporter.report(Beat.STUCK if stuck else Beat.ALIVE)
            self._bridge.refusals.tell()
            await asyncio.sleep(BEAT)
