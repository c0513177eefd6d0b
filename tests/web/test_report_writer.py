"""Reports are written fast, and just as marshmallow would write them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from marshmallow import Schema, fields

from webhook_app.domain.status import Status
from webhook_app.web.api.fields import Amount, Timestamp
from webhook_app.web.api.report_writer import make_writer
from webhook_app.web.api.schemas import ReportSchema
from webhook_app.web.finance.schemas import TransactionDetailSchema


class Word(str):
    """A string that is not just one."""

    def __str__(self) -> str:
        return "another"


TEXTS = (None, "", "a", "‮<script>\x00", "\ud800", b"bytes", Status.COMPLETED, Word("a"), 7, Decimal("1.50"))
NUMBERS = (None, 0, -1, 2**70, True, "7", Decimal("7"), 7.9)
TIMES = (
    None,
    datetime(2026, 4, 1, 10, tzinfo=UTC),
    datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
    datetime(2026, 4, 1, 0, 30, tzinfo=timezone(timedelta(hours=5, minutes=45))),
)
AMOUNTS = (None, Decimal("0E-8"), Decimal("1E+3"), Decimal("-0.10"), Decimal("9" * 40 + ".000000000000000000001"))


class InnerSchema(ReportSchema):
    status = fields.String(allow_none=True)


class EveryKindSchema(ReportSchema):
    text = fields.String()
    number = fields.Integer()
    ratio = fields.Float()
    flag = fields.Boolean()
    at = Timestamp(attribute="detected_at")
    amount = Amount(data_key="the amount")
    texts = fields.List(fields.String())
    times = fields.List(Timestamp())
    inner = fields.Nested(InnerSchema)
    several = fields.Nested(InnerSchema, many=True)
    inners = fields.List(fields.Nested(InnerSchema))
    left_out = fields.String(load_only=True)


def hostile_values(field: fields.Field[Any]) -> Sequence[Any]:
    if isinstance(field, fields.Nested):
        inner = [SimpleNamespace(**one) for one in hostile_attributes(field.schema)]
        return (None, [], inner, tuple(inner)) if field.many else (None, *inner)
    if isinstance(field, fields.List):
        return None, [], list(hostile_values(field.inner)), tuple(hostile_values(field.inner))
    kinds = ((Timestamp, TIMES), (Amount, AMOUNTS), (fields.String, TEXTS), (fields.Boolean, (None, True, False)))
    return next((values for kind, values in kinds if isinstance(field, kind)), NUMBERS)


def hostile_attributes(schema: Schema) -> Sequence[dict[str, Any]]:
    """As many as it takes for each field to have each of its values once."""
    columns = {field.attribute or name: hostile_values(field) for name, field in schema.dump_fields.items()}
    longest = max(map(len, columns.values()))
    return [{name: values[row % len(values)] for name, values in columns.items()} for row in range(longest)]


def kinds(above: type[ReportSchema] = ReportSchema) -> Sequence[type[ReportSchema]]:
    """All that are imported here; each by itself, for a nested one is not written by marshmallow."""
    return [one for kind in above.__subclasses__() for one in (kind, *kinds(kind))]


def test_those_of_transactions_are_among_them() -> None:
    assert TransactionDetailSchema in kinds()


@pytest.mark.parametrize("kind", kinds())
def test_report_is_written_as_marshmallow_would(kind: type[ReportSchema]) -> None:
    schema = kind()
    write = make_writer(schema.dump_fields)
    for attributes in hostile_attributes(schema):
        report = SimpleNamespace(**attributes)
        by_marshmallow = Schema.dump(schema, report)
        written = write(report)
        assert written == by_marshmallow
        assert [*written] == [*by_marshmallow]
        assert {key: type(value) for key, value in written.items()} == {
            key: type(value) for key, value in by_marshmallow.items()
        }


def test_many_are_a_list() -> None:
    reports = [SimpleNamespace(status="a"), SimpleNamespace(status=None)]
    assert InnerSchema().dump(reports, many=True) == InnerSchema(many=True).dump(reports)
    assert InnerSchema(many=True).dump(reports) == [{"status": "a"}, {"status": None}]


def test_report_without_an_attribute_is_no_report() -> None:
    with pytest.raises(AttributeError, match="status"):
        InnerSchema().dump(SimpleNamespace(state="a"))
