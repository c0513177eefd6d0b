"""Who may call the API: bearer tokens with roles."""

from __future__ import annotations

from flask import request
from flask_httpauth import HTTPTokenAuth

from webhook_app.models.system import Role
from webhook_app.usecases.tokens import Caller, find_caller
from webhook_app.web.errors import ApiError
from webhook_app.web.requests import get_services

token_auth = HTTPTokenAuth(scheme="Bearer")

#: Roles that may read transactions.
READERS = [str(Role.FINANCE), str(Role.ADMIN)]


@token_auth.verify_token
def _verify_token(token: str) -> Caller | None:
    return find_caller(get_services().database, token) if token else None


@token_auth.get_user_roles
def _get_roles(caller: Caller) -> str:
    return caller.role


@token_auth.error_handler
def _refuse(status: int) -> None:
    if status == 403:
        raise ApiError(403, "forbidden", "forbidden_role", "This token's role may not do that; use one that may.")
    raise ApiError(
        401,
        "unauthorised",
        "invalid_token" if "Authorization" in request.headers else "missing_token",
        "Send `Authorization: Bearer <API token>`; make one with `webhook-app tokens create`.",
        headers={"WWW-Authenticate": 'Bearer realm="webhook-app"'},
    )
