"""The fast path of a webhook: a small Flask application that can only accept.

Its one view waits for nothing, so the server calls it on the event loop: it checks the sender, reads the event, hands
it to the intake, and returns the answer that waits for the commit. Whatever it does not accept is asked of the whole
application, on a thread, as if nothing had been done: so refusals, their traces, errors and the spool are there alone,
and of two applications only one ever says no.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, Request, g
from werkzeug.routing import MapAdapter

from webhook_app.services import Services
from webhook_app.tracing import span
from webhook_app.web.forwarded import Forwarding
from webhook_app.web.host import check_host
from webhook_app.web.receive.deferral import Deferral
from webhook_app.web.receive.webhooks import ADDRESSES, hand_over, read_webhook
from webhook_app.web.requests import REQUEST_ID, bind_services


class FastPath(Flask):
    """Without sessions, hooks and error handlers: what Flask does for all of them costs twice what the view does."""

    def __init__(self, services: Services) -> None:
        super().__init__(__name__, static_folder=None)
        bind_services(self, services)
        self._forwarding = Forwarding(services.settings.trusted_proxy_hops)
        for address in ADDRESSES:
            # What it returns is for `take`, and never becomes a response of Flask's.
            self.add_url_rule(address, view_func=_take, methods=["POST"], provide_automatic_options=False)  # type: ignore[arg-type]

    def take(self, environ: dict[str, Any], body: bytes) -> Deferral | None:
        """The answer that waits for the commit; None where the whole application is to be asked. `body` is all of it,
        and not compressed. Writes to `environ`."""
        self._forwarding.believe(environ)
        with self.request_context(environ), span("webhook") as traced:
            try:
                check_host()
                g.request_id, g.body = environ[REQUEST_ID], body
                return self.dispatch_request()  # type: ignore[return-value]  # what `_take` returns
            except Exception:  # noqa: BLE001 - whatever it is, the whole application meets it again, and tells
                traced.note(left_to="the whole application")
                return None

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func

    def do_teardown_request(self, exc: BaseException | None = None) -> None:
        """Nothing was set up."""

    def do_teardown_appcontext(self, exc: BaseException | None = None) -> None:
        """As above."""

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Of path and method alone: no rule asks for a host, and no answer names one."""
        if request is None:
            return None
        return MapAdapter(self.url_map, "", "/", "", "http", request.path, request.method)


def _take(secret: str | None = None) -> Deferral | None:
    return hand_over(*read_webhook(secret, lambda: g.body))
