"""How errors are put: as Proof documents them today, or in its older form (proof/README.md, "Dialects")."""

from __future__ import annotations

import json
from dataclasses import replace
from enum import StrEnum
from typing import Any

from webhook_app.sandbox.answers import HttpAnswer


class Dialect(StrEnum):
    TODAY = "today"
    OLDER = "older"
    """No `code`; older slugs; the request id in the body rather than in `X-Request-Id`."""


#: Status, `error` and `code` of today, the last of which may be any, and the older slug for them.
_OLDER_SLUGS = (
    (400, "invalid_request", "currency_not_allowed", "unsupported_currency"),
    (401, "unauthorised", None, "unauthorized"),
    (403, "forbidden", "forbidden_origin", "forbidden_origin"),
    (404, "not_found", None, "transaction_not_found"),
    (429, "rate_limited", None, "rate_limit_exceeded"),
)


def in_older_dialect(answer: HttpAnswer, request_id: str) -> HttpAnswer:
    """The same error in the older form; what is no error in Proof's shape stays as it is."""
    found = _read(answer)
    if found is None:
        return answer
    error, code = found["error"], found["code"]
    slugs = (
        slug
        for status, newer, its_code, slug in _OLDER_SLUGS
        if (status, newer) == (answer.status, error) and its_code in (None, code)
    )
    others = {name: value for name, value in found.items() if name not in ("error", "code", "message")}
    body = {"error": next(slugs, error), "message": found["message"], "request_id": request_id, **others}
    return replace(answer, body=json.dumps(body).encode(), is_older=True)


def _read(answer: HttpAnswer) -> dict[str, Any] | None:
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    is_error = isinstance(found, dict) and {"error", "code", "message"} <= found.keys()
    return found if is_error else None
