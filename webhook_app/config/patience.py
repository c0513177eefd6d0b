"""How often a transaction is asked for, and when a person has to look."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from webhook_app.config.readers import integer, number
from webhook_app.config.variables import variable
from webhook_app.domain.polling import Cadence, OverdueAfter
from webhook_app.domain.proof_values import BUY, SELL
from webhook_app.domain.retry_policy import Budget


@dataclass(frozen=True)
class PatienceSettings:
    retry_base: float = variable("2", number(0.01, 3600), "seconds: the first wait of the exponential backoff")
    retry_cap: float = variable("600", number(0.01, 86400), "seconds: the longest wait of the backoff")
    retry_max_attempts: int = variable("20", integer(1, 1000), "attempts before a person has to look")
    retry_max_age: float = variable(
        "86400", number(1, 31_536_000), "seconds of failing before a person has to look, pauses not counted"
    )
    pause_after_failures: int = variable(
        "5", integer(1, 10_000), "different transactions that fail before all calls pause, where none is answered"
    )
    probe_first: float = variable("5", number(0.05, 3600), "seconds from a pause to the first probe; doubles with each")
    probe_cap: float = variable("60", number(0.05, 86400), "seconds: the longest gap between two probes")
    poll_shortest: float = variable("5", number(0.05, 3600), "seconds between two looks at a transaction that moves")
    poll_longest: float = variable(
        "3600", number(0.05, 86400), "seconds between two looks at one that has stood for days"
    )
    poll_end: float = variable(
        "604800",
        number(60, 31_536_000),
        "seconds after which a transaction that still has the same status is no longer polled, and is a discrepancy",
    )
    poll_sell: float = variable(
        "60", number(0.05, 3600), "seconds at least between two looks at a sell that waits for the user's crypto"
    )
    sell_window: float = variable(
        "21600",
        number(1, 31_536_000),
        "seconds after which Proof fails a sell that got no crypto; it is looked at just after them",
    )
    pending_alert_after: float = variable(
        "86400",
        number(1, 31_536_000),
        "seconds after which a transaction that is not terminal, or not confirmed at all, is a discrepancy",
    )
    pending_alert_after_buy: float | None = variable(
        None, number(1, 31_536_000), "the same for confirmed buys alone; unset: PENDING_ALERT_AFTER"
    )
    pending_alert_after_sell: float | None = variable(
        None, number(1, 31_536_000), "the same for confirmed sells alone; unset: PENDING_ALERT_AFTER"
    )

    @property
    def budget(self) -> Budget:
        return Budget(self.retry_max_attempts, self.retry_max_age, self.retry_base, self.retry_cap)

    @property
    def cadence(self) -> Cadence:
        return Cadence(self.poll_shortest, self.poll_longest, self.poll_end, self.poll_sell, self.sell_window)

    @property
    def overdue_after(self) -> OverdueAfter:
        of_type = {BUY: self.pending_alert_after_buy, SELL: self.pending_alert_after_sell}
        return OverdueAfter(
            timedelta(seconds=self.pending_alert_after),
            {name: timedelta(seconds=seconds) for name, seconds in of_type.items() if seconds is not None},
        )
