"""A spool in which something waits and something is set aside."""

from __future__ import annotations

import json

from structlog.testing import capture_logs

from tests.support.events import webhook
from webhook_app.adapters.spool import Fate, Handling
from webhook_app.services import Services
from webhook_app.usecases.receive.ingest import RequestOrigin
from webhook_app.usecases.receive.spooled_event import encode_event
from webhook_app.web.receive.event_schema import parse_event

REASON = "value too long for type character varying(32)"


def spooled_event(services: Services, transaction_id: str, **changes: object) -> str:
    """The text of a line."""
    body = json.dumps(webhook(merchant_transaction_id=transaction_id, **changes)).encode()
    return encode_event(parse_event(body), RequestOrigin(services.clock(), "203.0.113.9", {}))


def set_aside(services: Services, *texts: str, reason: str = REASON) -> list[str]:
    """The ids, in the order of the texts."""
    spool = services.spool
    known = {one.id for one in spool.list_set_aside()}
    for text in texts:
        spool.append(text)
    with capture_logs():
        spool.drain(lambda batch: [Handling(Fate.UNFIT, reason)] * len(batch), services.clock())
    return [one.id for one in spool.list_set_aside() if one.id not in known]


def damage(services: Services) -> None:
    """A line that no process of ours has written."""
    with (services.settings.data_dir / "spool" / "incoming.spool").open("ab") as file:
        file.write(b'5f3a9c10 {"version":1,"event":{"merchant_transaction_id":"ord\xffer-2\x00\n')
