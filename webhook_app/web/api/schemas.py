"""JSON that several wings of the API share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, post_load, validate

from webhook_app.domain.timestamps import find_empty_ranges
from webhook_app.web.api.fields import Timestamp
from webhook_app.web.api.report_writer import make_writer

#: Most items on one page of a list.
MAX_LIMIT = 200


class ReportSchema(Schema):
    """JSON made of a report: an object that has an attribute for each field."""

    def dump(self, obj: Any, *, many: bool | None = None) -> Any:
        if self.many if many is None else many:
            return [self._write(one) for one in obj]
        return self._write(obj)

    @cached_property
    def _write(self) -> Callable[[Any], dict[str, Any]]:
        return make_writer(self.dump_fields)


class PageQuerySchema(Schema):
    """Paging of a list. A query loads as its `limit`, its `cursor` and, as `wanted`, what `make_filter` makes of the
    other fields."""

    make_filter: ClassVar[Callable[..., Any]]

    limit = fields.Integer(load_default=50, validate=validate.Range(1, MAX_LIMIT))
    cursor = fields.String()

    @post_load
    def _to_query(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        limit, cursor = data.pop("limit"), data.pop("cursor", None)
        return {"limit": limit, "cursor": cursor, "wanted": type(self).make_filter(**data)}


def check_ranges(data: Mapping[str, Any], *names: str) -> None:
    """Raises ValidationError for a `…_from` that is not before its `…_to`."""
    problems = {field: [problem] for field, problem in find_empty_ranges(data, names)}
    if problems:
        raise ValidationError(problems)


class LastErrorSchema(ReportSchema):
    http_status = fields.Integer(allow_none=True)
    error = fields.String()
    code = fields.String(allow_none=True)
    message = fields.String(allow_none=True)
    request_id = fields.String(allow_none=True)
    at = Timestamp(allow_none=True)
