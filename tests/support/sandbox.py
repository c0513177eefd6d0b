"""A sandbox for tests, and the client of its control API, which steers a sandbox in this process or another."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlencode

import urllib3

from webhook_app.domain.money import format_amount
from webhook_app.domain.status import Status
from webhook_app.domain.timestamps import format_timestamp, parse_timestamp
from webhook_app.sandbox import server
from webhook_app.sandbox.calls import Call
from webhook_app.sandbox.faults import Order
from webhook_app.sandbox.injection import CallKind
from webhook_app.sandbox.lifecycles import Ending
from webhook_app.sandbox.transactions import Transaction
from webhook_app.sandbox.webhooks import Sending
from webhook_app.sandbox.world import WidgetAction


class SandboxError(Exception):
    """The sandbox refused: `status` and its message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


@dataclass(frozen=True)
class Counters:
    """Counts since the start or the last reset."""

    transactions: int
    lifecycles_in_progress: int
    lifecycles_finished: int
    gets: int
    sessions: int
    calls_under_way: int
    most_calls_under_way: int
    webhooks_sent: int
    """A 2xx came."""
    webhooks_failed: int
    """Another status, or no answer; redeliveries count each."""
    webhooks_dropped: int
    webhooks_overflowed: int
    webhooks_waiting: int
    """Queued, held back or to be redelivered."""
    websockets_open: int
    websockets_opened: int
    updates_sent: int
    """`tx.update` messages, spoiled ones too."""


class SandboxControl:
    """Every method raises SandboxError where the sandbox refuses, and urllib3's errors where it cannot be reached."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        self._pool = urllib3.PoolManager(maxsize=8, retries=False, timeout=60)

    def close(self) -> None:
        self._pool.clear()

    # Transactions

    def create(
        self,
        merchant_transaction_id: str | None = None,
        *,
        status: Status = Status.PENDING,
        type: str | None = None,
        partner_user_id: str | None = None,
        currency: str | None = None,
        network: str | None = None,
        fiat_currency: str | None = None,
        fiat_amount: Decimal | None = None,
        crypto_amount: Decimal | None = None,
        created_at: datetime | None = None,
        updated_at: datetime | None = None,
        webhook: bool = False,
    ) -> str:
        """A transaction that nothing moves; what is None is invented. Returns its id."""
        fields = {
            "merchant_transaction_id": merchant_transaction_id,
            "status": status,
            "type": type,
            "partner_user_id": partner_user_id,
            "currency": currency,
            "network": network,
            "fiat_currency": fiat_currency,
            "fiat_amount": format_amount(fiat_amount),
            "crypto_amount": format_amount(crypto_amount),
            "created_at": format_timestamp(created_at),
            "updated_at": format_timestamp(updated_at),
        }
        made = self._call("POST", "/sandbox/transactions", {**_present(fields), "webhook": webhook})
        return str(made["ids"][0])

    def create_many(self, count: int, *, status: Status = Status.PENDING, webhook: bool = False) -> list[str]:
        """`count` of them at once; returns their ids."""
        body = {"count": count, "status": status, "webhook": webhook}
        ids: list[str] = self._call("POST", "/sandbox/transactions", body)["ids"]
        return ids

    def transaction(self, transaction_id: str) -> Transaction:
        return Transaction.from_json(self._call("GET", _path(transaction_id)))

    def transactions(self) -> Iterator[Transaction]:
        """All of them, oldest first, the example too."""
        for record in self._lines("/sandbox/transactions.ndjson"):
            yield Transaction.from_json(record)

    def set_status(
        self, transaction_id: str, status: Status, *, updated_at: datetime | None = None, webhook: bool = True
    ) -> Transaction:
        """Any status, impossible steps included; ends the lifecycle. `updated_at` is now unless given."""
        body = _present({"status": status, "updated_at": format_timestamp(updated_at)})
        return Transaction.from_json(self._call("POST", _path(transaction_id, "status"), {**body, "webhook": webhook}))

    def change_fields(self, transaction_id: str, **fields: Any) -> Transaction:
        """`partner_user_id`, `type`, `currency`, `network`, `fiat_currency`, `fiat_amount`, `crypto_amount` (from the
        next status on), `created_at`, and `overrides`: JSON fields laid over the API's answer."""
        return Transaction.from_json(self._call("PATCH", _path(transaction_id), _as_json(fields)))

    def act(self, transaction_id: str, action: WidgetAction) -> Transaction:
        """What a person does in the widget; refused with 409 where the status does not allow it."""
        return Transaction.from_json(self._call("POST", _path(transaction_id, "act"), {"action": action}))

    def send_webhook(self, transaction_id: str, change: int = -1) -> None:
        """Once more, of the last change or of number `change` of the history, whatever the rates say."""
        self._call("POST", _path(transaction_id, "webhook"), {"change": change})

    def start_lifecycles(
        self,
        count: int = 1,
        *,
        outcome: Ending = Ending.ANY,
        type: str | None = None,
    ) -> list[str]:
        """Payments that move by themselves; returns their ids."""
        body = {"count": count, "outcome": outcome, **_present({"type": type})}
        ids: list[str] = self._call("POST", "/sandbox/lifecycles", body)["ids"]
        return ids

    # Faults

    def inject(self, *faults: Order | str, transaction: str | None = None, calls: CallKind = CallKind.GET) -> None:
        """For the next GETs of one transaction, or the next calls of one kind; used up in this order."""
        self._inject(faults, _present({"transaction": transaction, "calls": calls}))

    def inject_rate(self, fault: Order | str, rate: float, *, calls: CallKind = CallKind.GET) -> None:
        """Into a fraction of all calls; 0 takes it away."""
        self._inject((fault,), {"rate": rate, "calls": calls})

    def inject_period(self, fault: Order | str, seconds: float, *, calls: CallKind = CallKind.ALL) -> None:
        """Into every call for the next seconds, before the token is looked at."""
        self._inject((fault,), {"for_seconds": seconds, "calls": calls})

    def clear_faults(self, transaction: str | None = None) -> None:
        query = "?" + urlencode({"transaction": transaction}) if transaction else ""
        self._call("DELETE", f"/sandbox/faults{query}")

    # Behaviour and what was seen

    def configure(self, **changes: Any) -> dict[str, Any]:
        """Sets fields of Behaviour: `speed`, `webhook_url`, `repeated`, `dropped`, `tokens`, `allowlisted`, …; returns
        what is in force."""
        behaviour: dict[str, Any] = self._call("PATCH", "/sandbox/behaviour", _as_json(changes))
        return behaviour

    def counters(self) -> Counters:
        return Counters(**self._call("GET", "/sandbox/counters"))

    def calls(self, transaction_id: str | None = None) -> list[Call]:
        """The API calls, oldest first, of one transaction or all, GETs and sessions."""
        query = "?" + urlencode({"transaction": transaction_id}) if transaction_id else ""
        return [_with_timestamps(Call, record) for record in self._lines(f"/sandbox/calls.ndjson{query}")]

    def webhooks(self, transaction_id: str) -> list[Sending]:
        """The webhooks of one transaction that were sent, lost or failed, oldest first."""
        return [_with_timestamps(Sending, one) for one in self._call("GET", _path(transaction_id))["webhooks"]]

    def wait_until_still(self, timeout: float = 30.0) -> Counters:
        """Until no lifecycle is in progress and no webhook waits. Raises TimeoutError."""
        deadline = time.monotonic() + timeout
        while True:
            counters = self.counters()
            if not counters.lifecycles_in_progress and not counters.webhooks_waiting:
                return counters
            if time.monotonic() > deadline:
                raise TimeoutError(f"the sandbox still moves: {counters}")
            time.sleep(0.02)

    def reset(self) -> None:
        """The example transaction alone, no faults, counts at zero; the behaviour stays."""
        self._call("POST", "/sandbox/reset")

    def _inject(self, faults: tuple[Order | str, ...], where: dict[str, Any]) -> None:
        wanted = [fault if isinstance(fault, str) else asdict(fault) for fault in faults]
        self._call("POST", "/sandbox/faults", {"faults": wanted, **where})

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return json.loads(self._request(method, path, body))

    def _lines(self, path: str) -> Iterator[dict[str, Any]]:
        return (json.loads(line) for line in self._request("GET", path, None).splitlines())

    def _request(self, method: str, path: str, body: dict[str, Any] | None) -> bytes:
        answer = self._pool.request(method, self.base_url + path, json=body)
        if answer.status >= 400:
            raise SandboxError(answer.status, answer.data.decode(errors="replace"))
        return answer.data


class Sandbox(server.Sandbox):
    """A sandbox in this process, with its client: `with Sandbox(SandboxSettings(…)) as sandbox: sandbox.control`."""

    @cached_property
    def control(self) -> SandboxControl:
        return SandboxControl(self.url)

    def stop(self) -> None:
        super().stop()
        self.control.close()


T = TypeVar("T", Call, Sending)


def _with_timestamps(kind: type[T], record: dict[str, Any]) -> T:
    at = {name: parse_timestamp(record[name]) for name in ("at", "updated_at") if name in record}
    return kind(**{**record, **at})


def _path(transaction_id: str, what: str = "") -> str:
    return f"/sandbox/transactions/{transaction_id}" + (f"/{what}" if what else "")


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _as_json(fields: dict[str, Any]) -> dict[str, Any]:
    readable: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, Decimal):
            readable[name] = format_amount(value)
        elif isinstance(value, datetime):
            readable[name] = format_timestamp(value)
        else:
            readable[name] = value
    return readable
