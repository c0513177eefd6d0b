"""Webhooks: on the event loop where they are plain, on threads where they are not, in the spool where SQL takes none.

Nearly all that Proof sends is plain: a POST with a small JSON object that is to be accepted. Its event is handed to the
intake on the event loop itself (`web/receive/fast_path.py`), because two hand-overs between threads cost more than all
of the work. That is safe for the others on the loop, because it waits for nothing and its work is bounded: the body has
`_MOST_ON_LOOP` bytes at most and is not compressed, and what is refused, or finds SQL away, is done on a thread, by the
whole application, from its beginning. So hostile requests cost the loop no more than reading so many bytes.
"""

from __future__ import annotations

import io
import time
from functools import partial

from webhook_app.server.asgi import Environ, WsgiApplication
from webhook_app.server.awaiting import Commits, NotCommitted
from webhook_app.server.kinds import LANES, SPOOL, Kind
from webhook_app.server.lanes import LaneFull, ThreadLane
from webhook_app.server.responses import Headers, Response, overload
from webhook_app.server.streams import Stream
from webhook_app.server.wsgi import call_or_stream
from webhook_app.web.receive.deferral import BUDGET, DEFER, NOT_IN_SQL, Deferral
from webhook_app.web.receive.fast_path import FastPath
from webhook_app.web.requests import REQUEST_ID

#: Bytes of a body that is read on the event loop. Proof's example has 319; no JSON text of so many takes a millisecond.
_MOST_ON_LOOP = 4096

#: As the whole application has them.
_HEADERS: Headers = (
    (b"Content-Type", b"application/json"),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Cache-Control", b"no-store"),
)


class Webhooks:
    """`budget`: INGEST_BUDGET, seconds."""

    def __init__(self, fast_path: FastPath, application: WsgiApplication, budget: float) -> None:
        self._fast_path = fast_path
        self._application = application
        self._budget = budget
        size = LANES[Kind.WEBHOOK]
        self._lane = ThreadLane(Kind.WEBHOOK, size.threads, size.most_waiting)
        self._spool = ThreadLane("spool", SPOOL.threads, SPOOL.most_waiting)
        self._commits = Commits()

    def stand_still(self, seconds: float) -> bool:
        """Whether the threads have done nothing for so long, beyond what a webhook may take."""
        longest = seconds + self._budget
        return self._lane.stands_still(longest) or self._spool.stands_still(longest)

    async def answer(self, environ: Environ, body: bytes, stream: Stream) -> Response | None:
        """Within the budget by SQL, else by the spool: the application is called a second time for that."""
        due = time.monotonic() + self._budget
        environ["wsgi.input"] = io.BytesIO(body)
        try:
            # A copy, for an application writes to it.
            if _is_plain(environ, body) and (deferral := self._fast_path.take({**environ}, body)):
                headers: Headers = (*_HEADERS, (b"X-Request-Id", environ[REQUEST_ID].encode()))
                return await self._complete(deferral, headers, due)
            return await self._on_thread(environ, stream, due)
        except LaneFull:
            environ[BUDGET] = 0.0
        except NotCommitted as refusal:
            environ[NOT_IN_SQL] = str(refusal)
        environ["wsgi.input"].seek(0)
        try:
            return await self._spool.run(partial(call_or_stream, self._application, environ, stream), SPOOL.patience)
        except LaneFull:
            raise overload("Too many webhooks wait, for the database and for the spool.") from None

    async def _on_thread(self, environ: Environ, stream: Stream, due: float) -> Response | None:
        """Raises LaneFull, NotCommitted."""
        deferrals: list[Deferral] = []

        def call_in_time() -> Response | None:
            budget = max(0.0, due - time.monotonic())
            offered = {BUDGET: budget, DEFER: deferrals} if budget else {BUDGET: 0.0}
            return call_or_stream(self._application, {**environ, **offered}, stream)

        answer = await self._lane.run(call_in_time, self._budget)
        if not deferrals or answer is None:
            return answer
        return await self._complete(deferrals[0], answer.headers, due)

    async def _complete(self, deferral: Deferral, headers: Headers, due: float) -> Response:
        """Raises NotCommitted."""
        status, content = await self._commits.wait(deferral, due)
        return Response(status, headers, content)


def _is_plain(environ: Environ, body: bytes) -> bool:
    return len(body) <= _MOST_ON_LOOP and body[:1] == b"{" and "HTTP_CONTENT_ENCODING" not in environ
