"""Proof's API as partners call it: `POST /widget/session`, `GET /widget/transactions/{id}`, the handshake of `/ws`."""

from __future__ import annotations

import hmac
from functools import partial
from urllib.parse import parse_qs

from webhook_app.domain.timestamps import utc_now
from webhook_app.sandbox.answers import HttpAnswer, HttpRequest, Manner, error_answer, json_answer
from webhook_app.sandbox.calls import Call
from webhook_app.sandbox.dialects import Dialect, in_older_dialect
from webhook_app.sandbox.faults import Order, answer_with
from webhook_app.sandbox.injection import CallKind
from webhook_app.sandbox.sessions import SessionRefused, read_session_request, session_response
from webhook_app.sandbox.updates import transaction_topic, user_topic
from webhook_app.sandbox.websocket import serve_updates
from webhook_app.sandbox.world import World

PREFIX = "/widget/"
_TRANSACTIONS = "/widget/transactions/"
_SESSION = "/widget/session"
WEBSOCKET = "/ws"

_SILENT = frozenset({Manner.NOTHING, Manner.RESET, Manner.RAW})


class ProofApi:
    """Answers calls below `/widget/` and of `/ws`; injected faults come in the order that FaultBook states."""

    def __init__(self, world: World) -> None:
        self._world = world

    def answer(self, request: HttpRequest, request_id: str) -> HttpAnswer:
        """The answer to one call, noted in the call log."""
        at = utc_now()
        transaction_id: str | None = None
        if request.path == _SESSION:
            call, method = CallKind.SESSION, "POST"
        elif request.path.startswith(_TRANSACTIONS) and "/" not in request.path.removeprefix(_TRANSACTIONS):
            call, method = CallKind.GET, "GET"
            transaction_id = request.path.removeprefix(_TRANSACTIONS)
        elif request.path == WEBSOCKET and self._world.behaviour.websocket:
            call, method = CallKind.WEBSOCKET, "GET"
            transaction_id = _parameters(request).get("tx_id")
        else:
            return error_answer(404, "not_found", "not_found", "there is no such route")
        if request.method != method:
            message = f"{request.method} is not allowed here"
            return error_answer(405, "method_not_allowed", "method_not_allowed", message, (("Allow", method),))
        answer, order = self._answer_call(call, request, transaction_id)
        if answer.is_older or self._world.behaviour.dialect == Dialect.OLDER:
            answer = in_older_dialect(answer, request_id)
        status = None if answer.manner in _SILENT else answer.status
        fault = order.name if order else None
        self._world.calls.add(Call(at, call.value, transaction_id, status, fault, request_id))
        return answer

    def _answer_call(
        self, call: CallKind, request: HttpRequest, transaction_id: str | None
    ) -> tuple[HttpAnswer, Order | None]:
        def normal() -> HttpAnswer:
            if call is CallKind.WEBSOCKET:
                return self._websocket(request)
            return self._session(request) if transaction_id is None else self._transaction(transaction_id)

        outage = self._world.faults.outage(call)
        if outage is not None:
            return answer_with(outage, normal), outage
        refusal = self._refusal(call, request)
        if refusal is not None:
            return refusal, None
        order = self._world.faults.take(call, transaction_id if call is CallKind.GET else None)
        return (answer_with(order, normal), order) if order else (normal(), None)

    def _refusal(self, call: CallKind, request: HttpRequest) -> HttpAnswer | None:
        behaviour = self._world.behaviour
        if not behaviour.allowlisted:
            message = "the caller's address is not on the allowlist"
            return error_answer(403, "forbidden", "forbidden_origin", message)
        if behaviour.origins and request.headers.get("origin") not in behaviour.origins:
            return error_answer(403, "forbidden", "forbidden_origin", "the Origin header names no registered origin")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if call is CallKind.WEBSOCKET and behaviour.dialect == Dialect.OLDER:
            scheme, token = "bearer", _parameters(request).get("token", "")
        if scheme.lower() != "bearer" or not token.strip():
            return error_answer(401, "unauthorised", "missing_token", "a bearer token is required")
        given = token.strip().encode()
        if not any(hmac.compare_digest(given, known.encode()) for known in behaviour.tokens):
            return error_answer(401, "unauthorised", "invalid_token", "the token is unknown or inactive")
        return None

    def _transaction(self, transaction_id: str) -> HttpAnswer:
        transaction = self._world.store.get(transaction_id)
        if transaction is None:
            return error_answer(404, "not_found", "not_found", "no such transaction")
        return json_answer(200, transaction.answer())

    def _websocket(self, request: HttpRequest) -> HttpAnswer:
        """The older form names a user, today's a transaction (proof/README.md, "Dialects")."""
        given = _parameters(request)
        if self._world.behaviour.dialect == Dialect.OLDER:
            if not given.get("user_id"):
                return error_answer(400, "invalid_request", "missing_param", "user_id is required")
            topic = user_topic(given["user_id"])
        else:
            if not given.get("tx_id"):
                return error_answer(400, "invalid_request", "missing_param", "tx_id is required")
            if self._world.store.get(given["tx_id"]) is None:
                return error_answer(404, "not_found", "not_found", "no such transaction")
            topic = transaction_topic(given["tx_id"])
        if request.headers.get("upgrade", "").lower() != "websocket":
            message = "this address speaks WebSocket"
            return error_answer(426, "invalid_request", "upgrade_required", message, (("Upgrade", "websocket"),))
        talk = partial(serve_updates, self._world.updates, topic, request)
        return HttpAnswer(101, b"", manner=Manner.UPGRADE, talk=talk)

    def _session(self, request: HttpRequest) -> HttpAnswer:
        behaviour = self._world.behaviour
        try:
            wanted = read_session_request(request.body, behaviour)
        except SessionRefused as refused:
            return refused.answer
        transaction = self._world.open_session(wanted.purchase, behaviour.session_outcome, "session")
        return json_answer(200, session_response(transaction, wanted, self._world.rng))


def _parameters(request: HttpRequest) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(request.query).items()}
