"""Who may call the API: bearer tokens with roles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from flask import g, request
from flask_httpauth import HTTPTokenAuth

from webhook_app.db.bounded import SqlTooSlow
from webhook_app.models.role import Role
from webhook_app.services import Services
from webhook_app.usecases.access.tokens import Caller, TokenUnusable, find_caller
from webhook_app.usecases.audit import Actor
from webhook_app.web.errors import DATABASE_UNAVAILABLE, ApiError
from webhook_app.web.requests import get_services


class _BearerTokens(HTTPTokenAuth):  # type: ignore[misc]  # Flask-HTTPAuth is not typed
    """Notes on each view that it protects who may call it, so that the OpenAPI document can tell."""

    def login_required(self, f: Any = None, role: Any = None, optional: bool | None = None) -> Any:
        def protect(view: Callable[..., Any]) -> Callable[..., Any]:
            protected: Callable[..., Any] = super(_BearerTokens, self).login_required(role=role, optional=optional)(
                view
            )
            roles = [role] if isinstance(role, str) else role
            setattr(protected, _ROLES, tuple(map(str, roles or Role)))
            return protected

        return protect(f) if f else protect


def allowed_roles(view: Callable[..., Any]) -> Sequence[str]:
    """The roles that may call this view; empty for one that anybody may call."""
    roles: Sequence[str] = getattr(view, _ROLES, ())
    return roles


_ROLES = "_allowed_roles"

token_auth = _BearerTokens(scheme="Bearer")

#: Roles that may read transactions.
READERS = [str(Role.FINANCE), str(Role.ADMIN)]
#: Roles of the partner's backend.
PARTNERS = [str(Role.SERVICE), str(Role.ADMIN)]

#: What goes on while SQL is away, for callers that it has let in lately.
_WITHOUT_SQL = frozenset({"sessions.open_session"})


def calling_actor() -> Actor:
    """Whose token it is, for the audit log. For views that a token protects."""
    return Actor(token_auth.current_user().name, "api")


@token_auth.verify_token
def _verify_token(token: str) -> Caller | None:
    if not token:
        return None
    services = get_services()
    now, remembered = services.clock(), services.remembered_callers
    try:
        caller = _look_up(services, token, now)
    except TokenUnusable as problem:
        remembered.forget(token)
        g.token_problem = str(problem)
        return None
    except (SqlTooSlow, *DATABASE_UNAVAILABLE):
        known = remembered.find(token, now) if request.endpoint in _WITHOUT_SQL else None
        if known is None:
            raise
        return known
    if caller is None:
        remembered.forget(token)
    else:
        remembered.note(token, caller, now)
    return caller


def _look_up(services: Services, token: str, now: datetime) -> Caller | None:
    """Whose token it is. Raises what SQL raises, and SqlTooSlow where it hangs and the caller is let in without it."""
    look_up = partial(find_caller, services.database, services.last_use, token, now)
    if request.endpoint in _WITHOUT_SQL and services.remembered_callers.find(token, now) is not None:
        return services.session_sql.run(look_up)
    return look_up()


@token_auth.get_user_roles
def _get_roles(caller: Caller) -> str:
    return caller.role


@token_auth.error_handler
def _refuse(status: int) -> None:
    if status == 403:
        raise ApiError(403, "forbidden", "forbidden_role", "This token's role may not do that; use one that may.")
    advice = "Send `Authorization: Bearer <API token>`; make one with `webhook-app tokens create`."
    raise ApiError(
        401,
        "unauthorised",
        "invalid_token" if "Authorization" in request.headers else "missing_token",
        f"{g.token_problem} {advice}" if "token_problem" in g else advice,
        headers={"WWW-Authenticate": 'Bearer realm="webhook-app"'},
    )
