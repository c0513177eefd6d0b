"""`/api/v1/transactions/export`: all transactions of a filter as a file, made while it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response
from flask_smorest import Blueprint
from marshmallow import RAISE, ValidationError, fields, post_load, validates_schema

from webhook_app.adapters.table_files import FileFormat, file_name
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.usecases.finance.export import export_file
from webhook_app.usecases.finance.freshness import MEANINGS, MOST_COUNTED, Freshness, read_freshness
from webhook_app.usecases.finance.transaction_filter import TransactionFilter
from webhook_app.web.api.auth import READERS, token_auth
from webhook_app.web.api.fields import Choice
from webhook_app.web.finance.schemas import TransactionFilterSchema
from webhook_app.web.requests import get_services
from webhook_app.web.streaming import stream_file

exports_blueprint = Blueprint(
    "exports", __name__, url_prefix="/api/v1/transactions", description="Transactions as files"
)


class ExportQuerySchema(TransactionFilterSchema):
    """Filters and format of an export."""

    format = Choice(FileFormat, required=True, description="CSV by RFC 4180, one JSON object a line, or a workbook.")
    bom = fields.Boolean(
        load_default=False,
        metadata={"description": "Whether CSV begins with a byte order mark, by which Excel knows UTF-8."},
    )

    @validates_schema
    def _check_bom(self, data: Mapping[str, Any], **_: Any) -> None:
        if data.get("bom") and data.get("format") != FileFormat.CSV:
            raise ValidationError("Goes with CSV alone.", "bom")

    @post_load
    def _to_filter(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        file_format, has_bom = FileFormat(data.pop("format")), data.pop("bom")
        return {"file_format": file_format, "has_bom": has_bom, "wanted": TransactionFilter(**data)}


def _counted(what: str) -> dict[str, Any]:
    return {
        "description": f"{what} {MOST_COUNTED} means as many or more.",
        "schema": {"type": "integer", "minimum": 0, "maximum": MOST_COUNTED},
    }


_HEADERS = {
    "Content-Disposition": {
        "description": "An attachment, whose name says which filter and when.",
        "required": True,
        "schema": {"type": "string"},
    },
    **{f"X-{name.title()}": _counted(meaning) for name, meaning in MEANINGS.items()},
    "X-As-Of": {"description": "The time that was asked for.", "schema": {"type": "string", "format": "date-time"}},
}


@exports_blueprint.get("/export")
@token_auth.login_required(role=READERS)
@exports_blueprint.arguments(ExportQuerySchema, location="query", unknown=RAISE)
@exports_blueprint.response(
    200,
    {"type": "string"},
    content_type="text/csv",
    description="The file. One that cannot be finished ends with its connection, never as if it were whole.",
    headers=_HEADERS,
)
@exports_blueprint.response(200, {"type": "string"}, content_type=FileFormat.NDJSON.media_type)
@exports_blueprint.response(200, {"type": "string", "format": "binary"}, content_type=FileFormat.XLSX.media_type)
def export(query: dict[str, Any]) -> Response:
    """All transactions of a filter as a file.

    In the list's order. Amounts are texts, exact to the digit; of a workbook each column is numbers where all of it is
    exact in 15 digits; which it was says its sheet `Sums`, with exact sums by currency and status, as text. As of a
    past time there are confirmed values alone, and the same time gives the same file for ever.
    """
    return send_export(query["wanted"], query["file_format"], has_bom=query["has_bom"])


def send_export(wanted: TransactionFilter, file_format: FileFormat, *, has_bom: bool = False) -> Response:
    """The file as an attachment; headers tell how fresh it is. Raises ApiError 503 where too many are being made."""
    services = get_services()
    freshness = read_freshness(services.database, wanted)
    name = file_name("transactions", wanted.described(), services.clock(), file_format.extension)
    chunks = export_file(services.database, wanted, file_format, has_bom=has_bom)
    response = stream_file(chunks, file_format.media_type, name)
    response.headers.update(_freshness_headers(freshness, wanted))
    return response


def _freshness_headers(freshness: Freshness, wanted: TransactionFilter) -> dict[str, str]:
    values = {f"X-{name.title()}": getattr(freshness, name) for name in MEANINGS}
    values["X-As-Of"] = format_timestamp(wanted.as_of)
    return {name: str(value) for name, value in values.items() if value is not None}
