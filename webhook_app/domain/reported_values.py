"""What a message reports of a transaction beside its id, status and timestamp: values, not their spelling."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True)
class ReportedValues:
    """None: not reported, or not readable. 2.5 and 2.50 are one amount."""

    type: str | None = None
    currency: str | None = None
    network: str | None = None
    crypto_amount: Decimal | None = None
    fiat_currency: str | None = None
    fiat_amount: Decimal | None = None
    created_at: datetime | None = None

    def says_otherwise(self, known: ReportedValues, silent: Collection[str] = ()) -> bool:
        """Whether it reports other values than what is known, `silent` fields aside, which one of the two cannot
        report."""
        return any(value != getattr(known, name) for name, value in vars(self).items() if name not in silent)

    def as_json(self) -> dict[str, str]:
        """What is reported, as text."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else str(value)
            for name, value in vars(self).items()
            if value is not None
        }

    @classmethod
    def from_json(cls, written: Mapping[str, str]) -> ReportedValues:
        """What `as_json` has written."""
        return cls(
            type=written.get("type"),
            currency=written.get("currency"),
            network=written.get("network"),
            crypto_amount=_amount(written.get("crypto_amount")),
            fiat_currency=written.get("fiat_currency"),
            fiat_amount=_amount(written.get("fiat_amount")),
            created_at=datetime.fromisoformat(written["created_at"]) if "created_at" in written else None,
        )


def _amount(written: str | None) -> Decimal | None:
    return None if written is None else Decimal(written)
