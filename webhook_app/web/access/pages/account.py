"""`/account`: one's own account."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response
from wtforms import PasswordField, SubmitField
from wtforms.validators import EqualTo, InputRequired

from webhook_app.logs import get_logger
from webhook_app.usecases.access.accounts import change_own_password
from webhook_app.usecases.access.passwords import SHORTEST
from webhook_app.usecases.refusals import Refused
from webhook_app.web.access.throttle import throttled
from webhook_app.web.people import current_person, roles_required, start_session
from webhook_app.web.requests import get_services

log = get_logger()

account_blueprint = Blueprint("account", __name__)

_NEW = {"autocomplete": "new-password"}


class PasswordForm(FlaskForm):
    current = PasswordField(
        "Current password",
        [InputRequired("Enter your current password.")],
        render_kw={"autocomplete": "current-password"},
    )
    new = PasswordField(
        "New password",
        [InputRequired("Enter a new password.")],
        description=f"At least {SHORTEST} characters. A few words in a row are easy to keep in mind and hard to guess.",
        render_kw=_NEW,
    )
    again = PasswordField(
        "New password, once more",
        [InputRequired("Enter the new password once more."), EqualTo("new", "This is not the same new password.")],
        render_kw=_NEW,
    )
    submit = SubmitField("Change password")


@account_blueprint.route("/account", methods=["GET", "POST"])
@roles_required()
def show() -> Response | tuple[str, int]:
    """Who one is, and a new password; all other sessions of the account end with it."""
    person = current_person()
    assert person is not None, "the guard has seen to it"
    form = PasswordForm()
    if form.validate_on_submit():
        services = get_services()
        try:
            with throttled(person.name):
                changed = change_own_password(
                    services.database, person, form.current.data, form.new.data, services.clock()
                )
        except Refused as refused:
            form.form_errors.append(str(refused))
        else:
            start_session(changed)
            log.info("password changed", account=person.name)
            flash("Your password is changed. Wherever else you were logged in, you no longer are.", "success")
            return redirect(url_for("account.show"), 303)
    return render_template("access/account.html", form=form), 400 if form.is_submitted() else 200
