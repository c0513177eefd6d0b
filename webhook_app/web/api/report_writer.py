"""Reports written by their schemas: what to do with each field is found out once for a schema, not for each value.

marshmallow asks each field for each value which attribute it reads, what stands in for one that is missing, and under
which key it goes; in a list of 50 that takes longer than the database does. The schema stays what says how a report
looks, to OpenAPI too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from marshmallow import fields

from webhook_app.domain.money import format_amount
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.web.api.fields import Amount, Timestamp

Convert = Callable[[Any], Any]

#: Of these fields a value of just that type is JSON as it is. So is None, of all fields.
_AS_IT_IS = ((fields.String, str), (fields.Integer, int), (fields.Float, float), (fields.Boolean, bool))


def make_writer(dump_fields: Mapping[str, fields.Field[Any]]) -> Callable[[Any], dict[str, Any]]:
    """Writes an object that has an attribute for each of these fields, as marshmallow would."""
    steps = [
        (field.data_key or name, field.attribute or name, _plain_type(field), _converter(field))
        for name, field in dump_fields.items()
    ]

    def write(report: Any) -> dict[str, Any]:
        return {
            key: value if (value := getattr(report, name)) is None or value.__class__ is plain else convert(value)
            for key, name, plain, convert in steps
        }

    return write


def _plain_type(field: fields.Field[Any]) -> type | None:
    return next((plain for kind, plain in _AS_IT_IS if isinstance(field, kind)), None)


def _converter(field: fields.Field[Any]) -> Convert:
    """Of values other than None."""
    if isinstance(field, Timestamp):
        return format_timestamp
    if isinstance(field, Amount):
        return format_amount
    if isinstance(field, fields.Nested):
        return partial(field.schema.dump, many=bool(field.schema.many or field.many))
    if isinstance(field, fields.List):
        return _list_converter(field.inner)
    return lambda value: field._serialize(value, field.name, None)


def _list_converter(inner: fields.Field[Any]) -> Convert:
    plain, convert = _plain_type(inner), _converter(inner)
    return lambda values: [value if value is None or value.__class__ is plain else convert(value) for value in values]
