"""JSON that several wings of the API share."""

from __future__ import annotations

from marshmallow import Schema
from webargs import fields

from webhook_app.web.api.fields import Timestamp

#: Most items on one page of a list.
MAX_LIMIT = 200


class LastErrorSchema(Schema):
    http_status = fields.Integer(allow_none=True)
    error = fields.String()
    code = fields.String(allow_none=True)
    message = fields.String(allow_none=True)
    request_id = fields.String(allow_none=True)
    at = Timestamp(allow_none=True)
