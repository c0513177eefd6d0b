"""What a web process serves: the application behind the bridge, with a heart that beats while the event loop turns."""

from __future__ import annotations

import asyncio
import gc
import sys

from flask import Flask

from webhook_app.logs import get_logger
from webhook_app.server.asgi import Receive, Scope, Send
from webhook_app.server.bodies import Bodies
from webhook_app.server.bridge import Bridge
from webhook_app.server.kinds import LANES
from webhook_app.server.refusals import Refusals
from webhook_app.server.sockets import allow_connections, end_stalled_connections
from webhook_app.server.watchdog import BEAT, Beat, Reporter
from webhook_app.server.webhooks import Webhooks
from webhook_app.services import Services, open_courier, open_lookout
from webhook_app.web.receive.fast_path import FastPath

log = get_logger()

#: Two threads of the intake, which write and drain the spool; one that keeps refused requests, one that notes when a
#: token was last used, one that counts what is not known in webhooks, one that adds to totals, one that watches the
#: clock, one that notifies of it.
_BACKGROUND_CONNECTIONS = 8

#: Seconds after which a thread that runs Python lets another one go on (`sys.setswitchinterval`; Python's own are
#: 0.005). The server's threads, the event loop and the intake take turns for each webhook, and may wait as long at
#: each.
_TURN = 0.0005

#: Database connections of a web process: enough for all lanes at once, so that none waits for another's.
DATABASE_CONNECTIONS = sum(size.connections for size in LANES.values()) + _BACKGROUND_CONNECTIONS


class ServedApplication:
    """An ASGI application with a lifespan, at whose end it closes the services."""

    def __init__(self, services: Services, application: Flask, reporter: Reporter) -> None:
        settings = services.settings
        # Bodies that never come are not to hold all connections.
        half = max(1, allow_connections(settings.http_max_connections) // 2)
        self._services = services
        self._reporter = reporter
        self._webhooks = Webhooks(FastPath(services), application, settings.ingest_budget)
        self.bridge = Bridge(
            application,
            self._webhooks,
            Bodies(
                settings.http_body_timeout, min(settings.http_max_bodies, half), settings.http_max_bodies_per_client
            ),
            Refusals(services.rejections.note, services.clock),
            hops=settings.trusted_proxy_hops,
            longest_stall=settings.http_send_timeout,
        )
        self._lookout = open_lookout(services, is_web=True)
        self._lookout.start()
        self._courier = open_courier(services, is_web=True)
        self._courier.start()
        services.intake.start()  # what a process that died has left in the spool waits for no new event

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self.bridge(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        # What was loaded at the start stays for ever. Passing over it would stop all requests for 0.1 s, and often.
        gc.collect()
        gc.freeze()
        sys.setswitchinterval(_TURN)
        heart = asyncio.create_task(self._beat())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        heart.cancel()
        await asyncio.to_thread(self._courier.close)
        await asyncio.to_thread(self._lookout.close)
        await asyncio.to_thread(self._services.close)
        await send({"type": "lifespan.shutdown.complete"})

    async def _beat(self) -> None:
        settings = self._services.settings
        is_limited = False
        while True:
            is_limited = is_limited or self._end_stalled_connections()
            stuck = self._webhooks.stand_still(settings.web_silence_limit)
            self._reporter.report(Beat.STUCK if stuck else Beat.ALIVE)
            self.bridge.refusals.tell()
            await asyncio.sleep(BEAT)

    def _end_stalled_connections(self) -> bool:
        """Whether nothing is left to do for it: the server begins to listen a little later than the heart beats."""
        settings = self._services.settings
        try:
            return end_stalled_connections(settings.port, settings.http_send_timeout)
        except OSError as error:
            log.error("connections whose client takes nothing are not ended", error=str(error))
            return True
