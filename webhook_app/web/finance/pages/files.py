"""`/transactions.csv`, `.ndjson` and `.xlsx`: what the page of transactions shows, as a file. For finance."""

from __future__ import annotations

from flask import Blueprint, request
from marshmallow import ValidationError
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from webhook_app.adapters.table_files import FileFormat
from webhook_app.models.role import Role
from webhook_app.usecases.finance.transaction_filter import TransactionFilter
from webhook_app.web.errors import ApiError
from webhook_app.web.finance.exports import send_export
from webhook_app.web.finance.schemas import TransactionFilterSchema
from webhook_app.web.people import roles_required

transaction_files_blueprint = Blueprint("transaction_files", __name__)

#: What the page's address has besides the filter: a file has neither totals nor pages.
_OF_THE_PAGE = frozenset({"bom", "sort", "day_of", "volume_in", "look", "cursor", "limit"})


@transaction_files_blueprint.get(f"/transactions.<any({','.join(FileFormat)}):format>")
@roles_required(Role.FINANCE)
def download(format: str) -> Response:
    """The file; the filter is in the address, as on the page."""
    return send_export(
        _read_filter(request.args), FileFormat(format), has_bom="bom" in request.args and format == "csv"
    )


def _read_filter(values: MultiDict[str, str]) -> TransactionFilter:
    """Blank fields are unset, as a form sends them. Raises ApiError 400 that names what is wrong."""
    typed = {name: text.strip() for name, text in values.items() if name not in _OF_THE_PAGE and text.strip()}
    problems = {name: ["Given more than once."] for name in typed if len(values.getlist(name)) > 1}
    try:
        wanted = TransactionFilter(**TransactionFilterSchema().load(typed))
    except ValidationError as error:
        problems = (error.messages if isinstance(error.messages, dict) else {}) | problems
    if problems:
        message = " ".join(f"{name}: {' '.join(map(str, texts))}" for name, texts in problems.items())
        raise ApiError(400, "invalid_request", "validation_error", message, problems)
    return wanted
