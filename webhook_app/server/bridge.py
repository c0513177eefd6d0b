"""The bridge: the ASGI application that the server (granian) calls, over the WSGI application that Flask is.

No request takes a thread before all of it is here. The event loop reads its body, with a deadline and a limit; then a
thread of the lane for its kind answers it. What needs no thread is answered on the event loop itself (`_on_loop`):
`/healthz`, the memory of `/readyz`, nearly every webhook (`webhooks.py`), and whatever will have to wait for long.
"""

from __future__ import annotations

import io
import os
from collections.abc import Awaitable, Callable
from functools import partial

from webhook_app.logs import get_logger
from webhook_app.server.asgi import Environ, Receive, Scope, Send, WsgiApplication
from webhook_app.server.bodies import Bodies, BodyTooLarge
from webhook_app.server.clients import client_address, counted_client
from webhook_app.server.environ import Head
from webhook_app.server.kinds import LANES, Kind, body_limit, kind_of
from webhook_app.server.lanes import LaneFull, ThreadLane
from webhook_app.server.memory import Memory
from webhook_app.server.refusals import Refusals
from webhook_app.server.responses import RequestError, Response, overload
from webhook_app.server.streams import ClientGone, Stream
from webhook_app.server.webhooks import Webhooks
from webhook_app.server.wsgi import call_application, call_or_stream
from webhook_app.web.requests import REQUEST_ID

log = get_logger()

#: Seconds for which the answer of `/readyz` is remembered.
READY_MEMORY = 1.0

#: Asks the application for its `/healthz` once, at the start.
_HEALTH: Scope = {
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "raw_path": b"/healthz",
    "query_string": b"",
    "client": ("127.0.0.1", "0"),
    "server": ("127.0.0.1", "0"),
    "headers": [(b"host", b"localhost")],
}


class Bridge:
    """`hops`: TRUSTED_PROXY_HOPS. `longest_stall`: seconds."""

    def __init__(
        self,
        application: WsgiApplication,
        webhooks: Webhooks,
        bodies: Bodies,
        refusals: Refusals,
        *,
        hops: int,
        longest_stall: float,
    ) -> None:
        self._application = application
        self._webhooks = webhooks
        self._bodies = bodies
        self._hops = hops
        self._longest_stall = longest_stall
        others = (each for each in LANES.items() if each[0] is not Kind.WEBHOOK)
        self._lanes = {kind: ThreadLane(kind, size.threads, size.most_waiting) for kind, size in others}
        self._alive = call_application(application, {**Head(_HEALTH).environ, "wsgi.input": io.BytesIO()})
        self._ready = Memory(READY_MEMORY)
        self._on_loop: dict[Kind, Callable[[Head], Awaitable[Response]]] = {
            Kind.HEALTH: self._tell_alive,
            Kind.READY: self._tell_ready,
        }
        self.refusals = refusals

    @property
    def bodies_under_way(self) -> int:
        return len(self._bodies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = os.urandom(16).hex()
        head = Head(scope)
        head.environ[REQUEST_ID] = request_id
        kind = kind_of(head.method, head.path, head.query)
        stream = Stream(receive, send, self._longest_stall)
        answer = None
        try:
            head.check()
            answer = await self._answer(kind, head, receive, stream)
        except RequestError as refused:
            peer = head.environ["REMOTE_ADDR"]
            client = client_address(peer, head.get("x-forwarded-for"), self._hops) or peer
            self.refusals.note(kind, refused, head.method, client)
            answer = refused.response(head.path, head.get("accept")).named(request_id)
        except ClientGone:
            log.info("answer given up: its client has gone or takes nothing", request_id=request_id)
        except Exception as error:
            if stream.is_started:
                log.error("answer broken off", error=type(error).__name__, request_id=request_id)
            else:
                log.exception("unexpected error", request_id=request_id)
                answer = _FAULT.response().named(request_id)
        finally:
            stream.close()
        if answer is not None:
            await answer.send(send)

    async def _answer(self, kind: Kind, head: Head, receive: Receive, stream: Stream) -> Response | None:
        if kind in self._on_loop:
            return (await self._on_loop[kind](head)).named(head.environ[REQUEST_ID])
        environ = head.environ
        try:
            body = await self._bodies.read(
                receive,
                limit=body_limit(kind),
                announced=head.announced,
                awaits_continue=head.awaits_continue,
                client=counted_client(environ["REMOTE_ADDR"], head.get("x-forwarded-for"), self._hops),
            )
            size = len(body)
        except BodyTooLarge as problem:
            body, size = b"", problem.size  # the application says so, for it knows how, and keeps what it refuses
        environ["wsgi.input_terminated"] = True
        if head.announced != 0:
            environ["CONTENT_LENGTH"] = str(size)
        if kind is Kind.WEBHOOK:
            return await self._webhooks.answer(environ, body, stream)
        environ["wsgi.input"] = io.BytesIO(body)
        try:
            call = partial(call_or_stream, self._application, environ, stream)
            return await self._lanes[kind].run(call, LANES[kind].patience)
        except LaneFull:
            raise overload("Too many requests of this kind wait already. Try again in 5 seconds.") from None

    async def _tell_alive(self, _head: Head) -> Response:
        return self._alive

    async def _tell_ready(self, head: Head) -> Response:
        """A second's memory, so that no number of questions takes more than one thread."""
        environ = {**head.environ, "REQUEST_METHOD": "GET", "wsgi.input": io.BytesIO()}
        patience = LANES[Kind.READY].patience
        try:
            return await self._ready.get(partial(self._ask_ready, environ), patience)
        except (TimeoutError, LaneFull):
            raise overload(f"The checks have not ended within {patience:g} seconds.") from None

    async def _ask_ready(self, environ: Environ) -> Response:
        ask = partial(call_application, self._application, environ)
        return await self._lanes[Kind.READY].run(ask, LANES[Kind.READY].patience)


_FAULT = RequestError(
    500, "internal_error", "fault", "Something went wrong here. Tell us the X-Request-Id of this answer."
)
