"""Who is looking at a page: sessions of people, single sign-on from a proxy in front, and the guards of pages."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import wraps
from typing import Any, TypeVar

from flask import Flask, Request, current_app, g, redirect, request, session, url_for
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user
from werkzeug.wrappers import Response

from webhook_app.domain.networks import read_address
from webhook_app.models.role import Role
from webhook_app.usecases.access.accounts import Person, find_person_by_name
from webhook_app.usecases.access.sessions import (
    Browser,
    Lifetime,
    OpenSession,
    begin_session,
    find_session,
    log_in,
    log_out,
    note_use,
)
from webhook_app.usecases.audit import Actor
from webhook_app.web.content_negotiation import is_program_path
from webhook_app.web.errors import DATABASE_UNAVAILABLE, ApiError
from webhook_app.web.forwarded import get_forwarded
from webhook_app.web.local_path import local_path
from webhook_app.web.requests import get_services

_LOOKS_ON = "_looks_on"
#: The same, said by a script of ours that asks for its own page again.
_LOOKS_ON_HEADER = "X-Looks-On"
View = TypeVar("View", bound=Callable[..., Any])

#: What a proxy says so that we know it is ours.
_SECRET_HEADER = "X-Proxy-Secret"  # noqa: S105 - a name, no secret


class _LoggedIn(UserMixin):  # type: ignore[misc]  # Flask-Login is not typed
    """Flask-Login's view of a Person; its id, which is kept in the browser's cookie, is the key of the session."""

    def __init__(self, person: Person, key: str = "", open_session: OpenSession | None = None) -> None:
        self.person = person
        self.key = key
        self.open_session = open_session

    def get_id(self) -> str:
        return self.key


class _Cookies(SecureCookieSessionInterface):
    """Session cookies go back over TLS alone where they came by TLS, as the proxies that are ours tell. What programs
    call has no session: it reads no cookie, and its answers do not vary by one."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        return None if is_program_path() else super().open_session(app, request)

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure or bool(app.config["SESSION_COOKIE_SECURE"])


def register_people(app: Flask) -> None:
    """Sessions of a row each, whose keys are in signed cookies, looked up at each request."""
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


def current_session() -> OpenSession | None:
    """The session of the present request; None for nobody, and for whom the proxy has signed on."""
    open_session: OpenSession | None = getattr(current_user, "open_session", None)
    return open_session


def this_browser() -> Browser:
    """Where the present request comes from."""
    return Browser(request.remote_addr or None, request.headers.get("User-Agent", ""))


def session_lifetime() -> Lifetime:
    settings = get_services().settings
    return Lifetime(timedelta(seconds=settings.session_lifetime), timedelta(seconds=settings.session_idle))


def start_session(person: Person) -> None:
    """The session of a person who has just logged in, with nothing of the one before."""
    services = get_services()
    key = log_in(services.database, person, this_browser(), services.clock(), session_lifetime())
    _keep(person, key)


def renew_session(person: Person) -> None:
    """A new session for a person who ended all of hers by changing her account."""
    services = get_services()
    _keep(person, begin_session(services.database, person, this_browser(), services.clock()))


def end_session() -> None:
    """Ends the session, here and on the server."""
    if key := getattr(current_user, "key", ""):
        log_out(get_services().database, key)
    logout_user()
    session.clear()


def _keep(person: Person, key: str) -> None:
    session.clear()
    login_user(_LoggedIn(person, key))


def looks_on(view: View) -> View:
    """Marks a view that an open page asks for by itself: to look on is not to use, and keeps no session alive."""
    setattr(view, _LOOKS_ON, True)
    return view


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


def _load_from_session(key: str) -> _LoggedIn | None:
    services = get_services()
    user_agent = request.headers.get("User-Agent", "")
    now, lifetime = services.clock(), session_lifetime()
    found = find_session(services.database, services.last_use, key, user_agent, now, lifetime)
    if found is None:
        return None
    person, open_session = found
    view = current_app.view_functions.get(request.endpoint or "")
    if not getattr(view, _LOOKS_ON, False) and not request.headers.get(_LOOKS_ON_HEADER):
        note_use(services.last_use, open_session, now, lifetime)
    return _LoggedIn(person, key, open_session)


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
