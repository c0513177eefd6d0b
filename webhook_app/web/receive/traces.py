"""A trace of every request under `/webhooks/` that is not taken, wrong paths and methods included.

It never holds the secret that was tried, and no body of a sender that was refused itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, Response, g, request

from webhook_app.domain.text import storable
from webhook_app.logs import get_logger
from webhook_app.usecases.receive.rejections import RefusedRequest
from webhook_app.web.receive.origin import describe_origin
from webhook_app.web.requests import get_services

log = get_logger()

WsgiApplication = Callable[[dict[str, Any], Any], Iterable[bytes]]

_WEBHOOKS = re.compile(r"/+webhooks(?:/|$)", re.IGNORECASE)
#: A part of a path that is shown: too short to be a secret of ours, which have eight characters at least.
_SHORT_WORD = re.compile("[a-z]{1,7}")
_MOST_PARTS = 5

#: What operations are told where the answer to the sender says less: a reason of our own, and a sentence.
WRONG_SECRET = ("wrong_secret", "The secret in the address is not one of PROOF_WEBHOOK_SECRETS.")
NO_SECRETS = ("wrong_secret", "The address has a secret in it, but PROOF_WEBHOOK_SECRETS is not set.")
_WRONG_PATH = ("wrong_path", "There is nothing at this address; webhooks are taken at /webhooks/proof[/<secret>].")


def register_traces(app: Flask) -> None:
    wsgi: Any = _without_spare_slashes(app.wsgi_app)
    app.wsgi_app = wsgi  # type: ignore[method-assign]  # Flask's documented way to add middleware
    app.after_request(_trace)


def admit(body: bytes) -> None:
    """The present request's sender may send webhooks: if it is refused all the same, its body is kept."""
    g.admitted_body = body


def explain(reason: str, words: str) -> None:
    """What operations are told of the present request, which is refused, beside what its sender is."""
    g.refusal_explained = reason, words


def _without_spare_slashes(application: WsgiApplication) -> WsgiApplication:
    """A slash too many in the address that Proof was given is no reason to lose a webhook."""

    def handle(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = str(environ.get("PATH_INFO", ""))
        if _WEBHOOKS.match(path):
            environ["PATH_INFO"] = re.sub("/{2,}", "/", path).rstrip("/")
        return application(environ, start_response)

    return handle


def _trace(response: Response) -> Response:
    if response.status_code >= 400 and _WEBHOOKS.match(request.path):
        _note(response)
    return response


def _note(response: Response) -> None:
    answer = response.get_json(silent=True)
    problem = answer if isinstance(answer, dict) else {}
    code = str(problem.get("code", "not_found" if response.status_code == 404 else "http_error"))
    reason, words = _explained(response.status_code, code, str(problem.get("message", response.status)))
    body: bytes = g.get("admitted_body", b"")
    path = _without_secrets(request.path)
    refused = RefusedRequest(
        request=describe_origin(),
        method=request.method,
        path=path,
        http_status=response.status_code,
        error=str(problem.get("error", "invalid_request")),
        code=code,
        reason=reason,
        message=words,
        body=body,
        body_size=request.content_length or len(body),
    )
    if get_services().rejections.note(refused):
        log.warning(
            "event rejected",
            code=code,
            reason=words,
            remote_addr=request.remote_addr,
            method=storable(request.method, 16),
            path=path,
        )


def _explained(status: int, code: str, message: str) -> tuple[str, str]:
    if "refusal_explained" in g:
        explained: tuple[str, str] = g.refusal_explained
        return explained
    if status == 404:
        return _WRONG_PATH
    if status == 405:
        return code, f"{storable(request.method, 16)} is not taken here, only POST."
    return code, message


def _without_secrets(path: str) -> str:
    """`/webhooks/proof/…`: only what cannot be a secret is shown."""
    parts = [part for part in path.split("/") if part][1:]
    shown = [part if _SHORT_WORD.fullmatch(part) and not index else "…" for index, part in enumerate(parts)]
    more = ["…"] if len(shown) > _MOST_PARTS else []
    return "/" + "/".join(["webhooks", *shown[:_MOST_PARTS], *more])
