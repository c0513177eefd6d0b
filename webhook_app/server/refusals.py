"""What the bridge refuses: counted for the log, so that a flood of it is no flood of lines. Refused webhooks are also
kept for operations, like those that the application refuses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime

from webhook_app.domain.text import storable
from webhook_app.logs import get_logger
from webhook_app.server.kinds import Kind
from webhook_app.server.responses import RequestError
from webhook_app.usecases.receive.ingest import RequestOrigin
from webhook_app.usecases.receive.rejections import RefusedRequest

log = get_logger()

#: A webhook's path may hold its secret, so it is never noted.
_WEBHOOK_PATH = "/webhooks/…"


class Refusals:
    """For the event loop alone. `keep` must return at once."""

    def __init__(self, keep: Callable[[RefusedRequest], object], clock: Callable[[], datetime]) -> None:
        self._keep = keep
        self._clock = clock
        self._counts: Counter[tuple[str, str, int]] = Counter()
        self._last_client: dict[tuple[str, str, int], str] = {}

    def note(self, kind: Kind, refused: RequestError, method: str, client: str) -> None:
        what = (str(kind), refused.code, refused.status)
        self._counts[what] += 1
        self._last_client[what] = client
        if kind is Kind.WEBHOOK:
            self._keep(
                RefusedRequest(
                    request=RequestOrigin(self._clock(), storable(client, 64), {}),
                    method=storable(method, 16),
                    path=_WEBHOOK_PATH,
                    http_status=refused.status,
                    error=refused.error,
                    code=refused.code,
                    reason=refused.code,
                    message=refused.message,
                )
            )

    def tell(self) -> None:
        """One line for each kind and reason since the last time."""
        for (kind, code, status), count in self._counts.items():
            last = self._last_client[kind, code, status]
            log.warning("requests refused", kind=kind, code=code, status=status, count=count, last_client=last)
        self._counts.clear()
        self._last_client.clear()
