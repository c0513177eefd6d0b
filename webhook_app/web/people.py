"""Who is looking at a page: sessions of people, single sign-on from a proxy in front, and the guards of pages."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, TypeVar

from flask import Flask, g, redirect, request, session, url_for
from flask.sessions import SecureCookieSessionInterface
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user
from werkzeug.wrappers import Response

from webhook_app.domain.networks import read_address
from webhook_app.models.role import Role
from webhook_app.usecases.access.accounts import Person, find_person, find_person_by_name
from webhook_app.usecases.audit import Actor
from webhook_app.web.errors import DATABASE_UNAVAILABLE, ApiError
from webhook_app.web.forwarded import get_forwarded
from webhook_app.web.local_path import local_path
from webhook_app.web.requests import get_services

View = TypeVar("View", bound=Callable[..., Any])

#: What a proxy says so that we know it is ours.
_SECRET_HEADER = "X-Proxy-Secret"  # noqa: S105 - a name, no secret
#: Seconds between two notes, in the session, that it is in use.
_NOTE_EVERY = 60


class _LoggedIn(UserMixin):  # type: ignore[misc]  # Flask-Login is not typed
    """Flask-Login's view of a Person; its id carries the version with which the session ends."""

    def __init__(self, person: Person) -> None:
        self.person = person

    def get_id(self) -> str:
        return f"{self.person.id}:{self.person.session_version}"


class _Cookies(SecureCookieSessionInterface):
    """Session cookies go back over TLS alone where they came by TLS, as the proxies that are ours tell."""

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure or bool(app.config["SESSION_COOKIE_SECURE"])


def register_people(app: Flask) -> None:
    """Sessions in signed cookies, checked against the account at each request."""
    app.config.update(
        SESSION_COOKIE_NAME="webhook_app_session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
    )
    app.session_interface = _Cookies()
    manager = LoginManager()
    # Flask-Login's own protection is by address, too: it would log out who walks from Wi-Fi to a mobile network.
    manager.session_protection = None
    manager.user_loader(_load_from_session)
    manager.request_loader(_load_from_proxy)
    manager.init_app(app, add_context_processor=False)


def current_person() -> Person | None:
    """Who is logged in, None when nobody is."""
    person: Person | None = getattr(current_user, "person", None)
    return person


def current_actor(via: str = "page") -> Actor:
    """Who is logged in, for the audit log. For guarded views alone: there somebody is."""
    person = current_person()
    assert person is not None, "the guard lets nobody else through"
    return Actor(person.name, via)


def person_shown() -> Person | None:
    """The same for the layout, which an error page has too: nobody, where the database cannot tell."""
    try:
        return current_person()
    except DATABASE_UNAVAILABLE:
        return None


def is_signed_on_by_proxy() -> bool:
    """Whether the proxy in front vouches for the person, so that logging out is its business."""
    return bool(g.get("signed_on_by_proxy", False))


def start_session(person: Person) -> None:
    """A new session for this person, with nothing of the one before."""
    session.clear()
    now = get_services().clock().timestamp()
    session.update(began=now, seen=now, browser=_browser())
    login_user(_LoggedIn(person))


def end_session() -> None:
    logout_user()
    session.clear()


def roles_required(*roles: Role) -> Callable[[View], View]:
    """Guards a page: who is not logged in goes to the log-in and comes back; admins may do everything, others need one
    of these roles (403). Without roles it is enough to be logged in."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            return refuse_others(*roles) or view(*args, **kwargs)

        return guarded  # type: ignore[return-value]  # wraps keeps the signature

    return decorate


def refuse_others(*roles: Role) -> Response | None:
    """The same for a `before_request`: a redirect to the log-in, or None for who may pass. Raises ApiError 403."""
    person = current_person()
    if person is None:
        return to_log_in()
    if roles and person.role not in (*roles, Role.ADMIN):
        wanted = "admins" if roles == (Role.ADMIN,) else " and ".join(f"the role {role}" for role in roles)
        raise ApiError(
            403,
            "forbidden",
            "forbidden_role",
            f"This page is for {wanted}. You are logged in as {person.name} with the role {person.role}; "
            "ask an admin if you need it.",
        )
    return None


def to_log_in() -> Response:
    """To the log-in, and back here afterwards; where the request would change something, it is not repeated."""
    target = request.full_path.rstrip("?") if request.method in ("GET", "HEAD") else ""
    back = local_path(target)
    return redirect(url_for("people.log_in", next=back if back != "/" else None), 303)


def _load_from_session(user_id: str) -> _LoggedIn | None:
    services = get_services()
    now, settings = services.clock(), services.settings
    if session.get("browser") != _browser() or not _is_in_time(now, settings.session_lifetime, settings.session_idle):
        return None
    account_id, _, version = user_id.partition(":")
    person = find_person(services.database, int(account_id), int(version))
    if person is None:
        return None
    if now.timestamp() - session["seen"] > _NOTE_EVERY:
        session["seen"] = now.timestamp()
    return _LoggedIn(person)


def _is_in_time(now: datetime, lifetime: float, idle: float) -> bool:
    began, seen = (datetime.fromtimestamp(session.get(name, 0), now.tzinfo) for name in ("began", "seen"))
    return now - began < timedelta(seconds=lifetime) and now - seen < timedelta(seconds=idle)


def _load_from_proxy(_request: Any) -> _LoggedIn | None:
    """Single sign-on: the name in TRUSTED_USER_HEADER, if one of our proxies handed the request to us."""
    services = get_services()
    header = services.settings.trusted_user_header
    name = request.headers.get(header, "") if header else ""
    # WSGI joins headers of one name, and may have taken `X_User` for `X-User`: two names are nobody's word.
    if not name or "," in name or not _came_by_proxy():
        return None
    person = find_person_by_name(services.database, name)
    if person is None:
        return None
    g.signed_on_by_proxy = True
    return _LoggedIn(person)


def _came_by_proxy() -> bool:
    """Whether one of our proxies, which knows the secret, is at the socket's other end, and all of ours have signed."""
    settings, forwarded = get_services().settings, get_forwarded()
    peer = read_address(forwarded.peer)
    return (
        peer is not None
        and 0 < settings.trusted_proxy_hops <= forwarded.senders
        and any(peer in network for network in settings.trusted_user_proxies)
        and _has_secret(request.headers.get(_SECRET_HEADER, ""), settings.trusted_user_secrets)
    )


def _has_secret(given: str, known: Sequence[str]) -> bool:
    """All are compared, in constant time, so that the time tells nothing."""
    return bool(sum(hmac.compare_digest(given.encode(), secret.encode()) for secret in known))


def _browser() -> str:
    """A session belongs to the browser that it was begun with."""
    return hashlib.sha256(request.headers.get("User-Agent", "").encode("utf-8", "replace")).hexdigest()[:16]
