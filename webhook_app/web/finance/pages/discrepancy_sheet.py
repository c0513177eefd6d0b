"""`/discrepancies.csv`, `.xlsx` and `/discrepancies/sheet`: discrepancies worked off in a spreadsheet."""

from __future__ import annotations

import json

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from webhook_app.adapters.table_files import FileFormat, file_name
from webhook_app.models.role import Role
from webhook_app.usecases.finance.discrepancies import DiscrepancyState, acknowledge_many
from webhook_app.usecases.finance.discrepancy_sheet import MOST_ROWS, preview, preview_sheet, write_sheet
from webhook_app.usecases.refusals import Refused
from webhook_app.web.finance.pages.discrepancies import tell_acknowledged
from webhook_app.web.finance.pages.discrepancy_filter import read_filter
from webhook_app.web.layout.template_filters import grouped
from webhook_app.web.people import current_actor, roles_required
from webhook_app.web.requests import get_services
from webhook_app.web.streaming import stream_file

discrepancy_sheet_blueprint = Blueprint("discrepancy_sheet", __name__)


@discrepancy_sheet_blueprint.get("/discrepancies.<any(csv,xlsx):format>")
@roles_required(Role.FINANCE)
def download(format: str) -> Response:
    """What the page shows, with a column for notes."""
    form = read_filter()
    if form.problems:
        raise Refused("This filter makes no sense: go back and correct it.")
    services, file_format = get_services(), FileFormat(format)
    described = {"state": str(DiscrepancyState.OPEN), **form.typed}
    name = file_name("discrepancies", described, services.clock(), file_format.extension)
    return stream_file(write_sheet(services.database, form.wanted, file_format), file_format.media_type, name)


@discrepancy_sheet_blueprint.post("/discrepancies/sheet")
@roles_required(Role.FINANCE)
def send() -> Response | str:
    """A preview of what was sent back; nothing is changed yet."""
    file = request.files.get("file")
    try:
        if file is None or not file.filename:
            raise Refused("Choose the file first: the one that you have downloaded, with notes filled in.")
        found = preview_sheet(get_services().database, file.read())
    except Refused as refused:
        flash(f"Nothing was changed. {refused}", "error")
        return redirect(url_for("discrepancy_pages.show_all"), 303)
    rows = [[str(seen.id), str(seen.revision), seen.note] for seen, _ in found.ready]
    return render_template("finance/discrepancy_sheet.html", found=found, rows=json.dumps(rows))


@discrepancy_sheet_blueprint.post("/discrepancies/sheet/apply")
@roles_required(Role.FINANCE)
def apply() -> Response:
    """Acknowledges what the preview has shown, but for what has changed since."""
    services = get_services()
    rows = _read_rows(request.form.get("rows", ""))
    seen = [one for one, _ in preview(services.database, rows).ready]
    tell_acknowledged(acknowledge_many(services.database, seen, current_actor(), services.clock()))
    if len(seen) < len(rows):
        flash(f"{grouped(len(rows) - len(seen))} had changed meanwhile: look at them again.", "error")
    return redirect(url_for("discrepancy_pages.show_all"), 303)


def _read_rows(text: str) -> list[dict[str, str]]:
    """Raises Refused for what no form of ours sends."""
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError):
        rows = None
    if not isinstance(rows, list) or len(rows) > MOST_ROWS:
        raise Refused("This form was incomplete: send the file once more.")
    names = ("id", "revision", "note")
    for row in rows:
        if not isinstance(row, list) or len(row) != len(names) or not all(isinstance(text, str) for text in row):
            raise Refused("This form was incomplete: send the file once more.")
    return [dict(zip(names, row, strict=True)) for row in rows]
