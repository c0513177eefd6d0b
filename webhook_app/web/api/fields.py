"""Fields of the API's JSON and queries that marshmallow does not have: timestamps, amounts, whole numbers, terms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from marshmallow import ValidationError, fields, validate

from webhook_app.domain.money import format_amount, parse_amount
from webhook_app.domain.text import USABLE_ID, is_term, is_usable_id
from webhook_app.domain.time_zones import read_zone
from webhook_app.domain.timestamps import format_timestamp, parse_date_or_timestamp


class Timestamp(fields.Field[datetime]):
    """An ISO 8601 timestamp, UTC unless it says otherwise; a date alone is its midnight."""

    def _serialize(self, value: datetime | None, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return format_timestamp(value)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> datetime:
        try:
            return parse_date_or_timestamp(value)
        except ValueError:
            raise ValidationError("Must be a date or an ISO 8601 timestamp, such as 2026-04-01T10:00:00Z.") from None


class LocalTimestamp(Timestamp):
    """The same where the query's `tz` names a time zone: what says no offset is of that zone."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> datetime:
        try:
            zone = read_zone((data or {}).get("tz") or "UTC")
        except ValueError:
            zone = None  # `tz` says what is wrong with it
        try:
            return parse_date_or_timestamp(value, zone or UTC)
        except ValueError:
            return super()._deserialize(value, attr, data, **kwargs)


class Amount(fields.Field[Decimal]):
    """An exact decimal as a string, its scale kept."""

    def _serialize(self, value: Decimal | None, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return format_amount(value)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Decimal:
        try:
            amount = parse_amount(value) if isinstance(value, str) else None
        except ValueError:
            amount = None
        if amount is None:
            raise ValidationError('Must be a decimal number in a string, such as "99.50".')
        return amount


class LooseList(fields.List[Any]):
    """A list whose items are left as they came: who loads them one by one keeps the good ones beside a bad one."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list):
            raise ValidationError("Must be a list.")
        return value


class TransactionId(fields.String):
    """A usable `merchant_transaction_id`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(metadata={"pattern": f"^{USABLE_ID.pattern}$"}, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if not is_usable_id(text):
            raise ValidationError("Must be 1 to 128 letters, digits, dots, colons, underscores and hyphens.")
        return text


class WholeNumber(fields.Integer):
    """An integer as JSON Schema has it: `2.0` is one, `2.5` and `"2"` are none."""

    def __init__(self, validator: validate.Range) -> None:
        super().__init__(strict=True, validate=validator)

    def _validated(self, value: Any) -> int:
        return super()._validated(int(value) if isinstance(value, float) and value.is_integer() else value)


class Choice(fields.String):
    """One of these words."""

    def __init__(self, choices: Iterable[str], *, description: str | None = None, **kwargs: Any) -> None:
        metadata = {"description": description} if description else {}
        super().__init__(validate=validate.OneOf([str(choice) for choice in choices]), metadata=metadata, **kwargs)


class Word(Choice):
    """The same, in letters of either case."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        return text.lower() if text.isascii() else text


class Term(fields.String):
    """A text to look for: one that no stored value could have is refused, rather than choking the database."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if not is_term(text):
            raise ValidationError("Must be 1 to 128 characters, none of them a control character.")
        return text


class TimeZone(fields.String):
    """The IANA name of a time zone, in any letter case."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        name: str = super()._deserialize(value, attr, data, **kwargs)
        try:
            return read_zone(name).key
        except ValueError:
            raise ValidationError("Must be a time zone's name, such as Europe/Paris or UTC.") from None
