"""`/account`: one's own account, its password, and where one is logged in."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response
from wtforms import PasswordField, SubmitField
from wtforms.validators import EqualTo, InputRequired

from webhook_app.logs import get_logger
from webhook_app.usecases.access.accounts import Person, change_own_password
from webhook_app.usecases.access.passwords import SHORTEST
from webhook_app.usecases.access.sessions import MOST_LISTED, end_other_sessions, end_session, list_sessions
from webhook_app.usecases.refusals import Refused
from webhook_app.web.access.browsers import browser_name
from webhook_app.web.access.throttle import throttled
from webhook_app.web.people import current_person, current_session, renew_session, roles_required, session_lifetime
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
    """Who one is, where one is logged in, and a new password; all other sessions of the account end with that."""
    person = _person()
    form = PasswordForm()
    if form.validate_on_submit():
        services = get_services()
        try:
            with throttled(person.name) as attempt:
                changed = change_own_password(
                    services.database, person, form.current.data, form.new.data, services.clock()
                )
                attempt.succeeded()
        except Refused as refused:
            form.form_errors.append(str(refused))
        else:
            if current_session() is not None:  # the proxy keeps its own
                renew_session(changed)
            log.info("password changed", account=person.name)
            flash("Your password is changed. Wherever else you were logged in, you no longer are.", "success")
            return redirect(url_for("account.show"), 303)
    return _render(person, form), 400 if form.is_submitted() else 200


@account_blueprint.post("/account/sessions/<int:session_id>/end")
@roles_required()
def end_one(session_id: int) -> Response:
    """Ends one of one's own sessions elsewhere."""
    services = get_services()
    if end_session(services.database, _person(), session_id, services.clock()):
        flash("That session has ended: whoever used it has to log in again.", "success")
    else:
        flash("That session had ended already.", "info")
    return redirect(url_for("account.show", _anchor="sessions"), 303)


@account_blueprint.post("/account/sessions/end-others")
@roles_required()
def end_others() -> Response:
    """Ends all of one's own sessions but this one."""
    services = get_services()
    here = current_session()
    ended = end_other_sessions(services.database, _person(), here.id if here else None, services.clock())
    flash(f"{ended} session{'' if ended == 1 else 's'} ended; this one goes on.", "success")
    return redirect(url_for("account.show", _anchor="sessions"), 303)


def _person() -> Person:
    person = current_person()
    assert person is not None, "the guard has seen to it"
    return person


def _render(person: Person, form: PasswordForm) -> str:
    services = get_services()
    return render_template(
        "access/account.html",
        form=form,
        sessions=list_sessions(services.database, person, services.clock(), session_lifetime()),
        here=current_session(),
        most_listed=MOST_LISTED,
        browser_name=browser_name,
        user_header=services.settings.trusted_user_header,
    )
