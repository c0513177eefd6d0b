"""`/login` and `/logout`."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response
from wtforms import PasswordField, StringField, SubmitField
from wtforms.validators import InputRequired

from webhook_app.logs import get_logger
from webhook_app.usecases.access.accounts import authenticate
from webhook_app.web.access.throttle import throttled
from webhook_app.web.local_path import local_path, outer_path
from webhook_app.web.people import current_person, end_session, is_signed_on_by_proxy, start_session
from webhook_app.web.requests import get_services

log = get_logger()

people_blueprint = Blueprint("people", __name__)


class LogInForm(FlaskForm):
    name = StringField(
        "Name",
        [InputRequired("Enter your name.")],
        render_kw={"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false", "maxlength": 64},
    )
    password = PasswordField(
        "Password", [InputRequired("Enter your password.")], render_kw={"autocomplete": "current-password"}
    )
    submit = SubmitField("Log in")


@people_blueprint.route("/login", methods=["GET", "POST"])
def log_in() -> Response | tuple[str, int]:
    """The log-in; afterwards back to the page that asked for it."""
    back = outer_path(local_path(request.args.get("next")))
    if current_person() is not None:
        return redirect(back, 303)
    form = LogInForm()
    if not form.validate_on_submit():
        return render_template("access/log_in.html", form=form, refused=False), 400 if form.is_submitted() else 200
    with throttled(form.name.data) as attempt:
        person = authenticate(get_services().database, form.name.data, form.password.data)
        if person is not None:
            attempt.succeeded()
    if person is None:
        log.warning("log-in refused", remote_addr=request.remote_addr)
        form.password.data = ""
        return render_template("access/log_in.html", form=form, refused=True), 401
    start_session(person)
    log.info("logged in", account=person.name, remote_addr=request.remote_addr)
    return redirect(back, 303)


@people_blueprint.post("/logout")
def log_out() -> Response:
    """Ends this browser's session, on the server too; where the proxy signs on, only that can sign out."""
    if current_person() is not None and is_signed_on_by_proxy():
        return redirect(url_for("account.show", _anchor="signing-out"), 303)
    end_session()
    flash("You are logged out.", "success")
    return redirect(url_for("people.log_in"), 303)
