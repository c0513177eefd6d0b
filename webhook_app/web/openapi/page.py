"""`/docs`: the API to read and to try, by Swagger UI from inside a wheel; nothing comes from another host."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import flask_swagger_ui
from flask import Blueprint, Response, render_template, send_from_directory

docs_blueprint = Blueprint("docs", __name__)

_FILES = Path(flask_swagger_ui.__file__).with_name("dist")

#: Seconds that a browser keeps a file; its address has the version.
_KEPT = 7 * 24 * 3600


@docs_blueprint.get("/docs")
def show() -> str:
    """The page; for anybody, as the document itself is."""
    return render_template("openapi/docs.html", swagger_ui_version=version("flask-swagger-ui"))


@docs_blueprint.get("/docs/<any('swagger-ui.css', 'swagger-ui-bundle.js'):name>")
def send_file(name: str) -> Response:
    return send_from_directory(_FILES, name, max_age=_KEPT)
