"""What becomes of one message: an event that is durable, or a trace of what could not be understood."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor, Future
from datetime import datetime

from webhook_app.domain.drift import Drift, DriftSource
from webhook_app.listen.messages import OtherEvent, Unreadable, read_message
from webhook_app.logs import get_logger
from webhook_app.services import Services
from webhook_app.usecases.drift import Sighting
from webhook_app.usecases.receive.ingest import Accepted, ReportedEvent, RequestOrigin
from webhook_app.usecases.receive.ingest_faults import describe_error
from webhook_app.usecases.receive.intake import IntakeUnavailable
from webhook_app.usecases.receive.rejections import RefusedRequest

log = get_logger()


class UpdateIntake:
    """Takes messages in, as the webhooks' endpoint does; `executor` has the threads for the spool."""

    def __init__(self, services: Services, executor: Executor) -> None:
        self._services = services
        self._executor = executor
        self.update_at: datetime | None = None
        """When the latest update came."""

    async def take_in(self, message: str | bytes, topic: str, address: str | None) -> None:
        """Returns when what the message says is durable. Never raises: what is not taken, polling will tell."""
        # A connection to Proof, opened with our token, vouches for whatever comes on it.
        origin = RequestOrigin(self._services.clock(), address, {}, is_vouched=True)
        try:
            event = read_message(message)
        except OtherEvent as other:
            self._note_drift((other.drift,), None)
        except Unreadable as unreadable:
            self._note_refused(message, topic, origin, unreadable)
        else:
            self.update_at = origin.received_at
            self._note_drift(event.drift, event.merchant_transaction_id)
            await self._accept(event, origin)

    async def _accept(self, event: ReportedEvent, origin: RequestOrigin) -> None:
        """Into SQL within the budget of webhooks, or else into the spool."""
        answer = self._services.intake.submit(event, origin)
        why = "SQL is away" if answer is None else await self._wait(answer)
        if why is None:
            return
        loop = asyncio.get_running_loop()
        details = {"id": event.merchant_transaction_id, "status": event.status, "why": why}
        try:
            await loop.run_in_executor(self._executor, self._services.intake.spool, event, origin, why)
        except IntakeUnavailable as error:
            log.error("update not taken: polling will tell", **details | {"why": str(error)})
        else:
            log.warning("update spooled", **details)

    async def _wait(self, answer: Future[Accepted]) -> str | None:
        """Why it is not committed; None once it is."""
        budget = self._services.settings.ingest_budget
        try:
            async with asyncio.timeout(budget):
                await asyncio.shield(asyncio.wrap_future(answer))
        except TimeoutError:
            return self._services.intake.give_up(answer, budget)
        except Exception as error:  # noqa: BLE001 - whatever it is, the event is sound: the spool takes it
            return describe_error(error)
        return None

    def _note_drift(self, drift: tuple[Drift, ...], merchant_transaction_id: str | None) -> None:
        if drift:
            seen = Sighting(drift, DriftSource.WEBSOCKET, self._services.clock(), merchant_transaction_id, None)
            self._services.drift.note(seen)

    def _note_refused(self, message: str | bytes, topic: str, origin: RequestOrigin, why: Unreadable) -> None:
        body = message.encode(errors="replace") if isinstance(message, str) else message
        refused = RefusedRequest(
            request=origin,
            method="WEBSOCKET",
            path=topic,
            http_status=400,
            error="invalid_request",
            code=why.code,
            reason=f"websocket {why.code}",
            message=str(why),
            body=body,
            body_size=len(body),
        )
        if self._services.rejections.note(refused):
            log.warning("update not understood", code=why.code, reason=str(why), topic=topic)
