"""What the bridge refuses, told in the log: counted, for a flood of them must not become a flood of lines."""

from __future__ import annotations

from collections import Counter

from webhook_app.logs import get_logger
from webhook_app.server.kinds import Kind
from webhook_app.server.responses import RequestError

log = get_logger()


class Refusals:
    """For the event loop alone. A path is never noted: a webhook's holds its secret."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, int]] = Counter()
        self._last_client: dict[tuple[str, str, int], str] = {}

    def note(self, kind: Kind, refused: RequestError, client: str) -> None:
        what = (str(kind), refused.code, refused.status)
        self._counts[what] += 1
        self._last_client[what] = client

    def tell(self) -> None:
        """One line for each kind and reason since the last time."""
        for (kind, code, status), count in self._counts.items():
            last = self._last_client[kind, code, status]
            log.warning("requests refused", kind=kind, code=code, status=status, count=count, last_client=last)
        self._counts.clear()
        self._last_client.clear()
