"""How Proof names its errors: the names that decide, and older ones that mean the same (proof/README.md, "Dialects").

The retry policy knows the names that decide, so that it has one row for each meaning.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from webhook_app.domain.drift import Drift, DriftKind, make_drift

#: The slugs that decide, and those of their codes that are documented.
_CODES: Mapping[str, frozenset[str]] = {
    "invalid_request": frozenset({"validation_error", "decode_error", "missing_param", "currency_not_allowed"}),
    "wallet_not_supported": frozenset({"WALLET_NOT_SUPPORTED"}),
    "unauthorised": frozenset({"missing_token", "invalid_token", "unauthorized"}),
    "forbidden": frozenset({"forbidden_origin"}),
    "not_found": frozenset({"not_found"}),
    "internal_error": frozenset({"db_error", "token_error"}),
    "publish_failed": frozenset({"kafka_unavailable"}),
    "upstream_error": frozenset({"provider_error"}),
    "upstream_unavailable": frozenset({"upstream_unavailable", "upstream_invalid_response"}),
}

#: Older slugs by the HTTP status that they come with, and the `error` and `code` of today that mean the same; the code
#: is None where nothing of today says as much.
_OLDER: Mapping[tuple[int, str], tuple[str, str | None]] = {
    (400, "unsupported_currency"): ("invalid_request", "currency_not_allowed"),
    (401, "unauthorized"): ("unauthorised", None),
    (403, "forbidden_origin"): ("forbidden", "forbidden_origin"),
    (404, "transaction_not_found"): ("not_found", "not_found"),
}

#: Older slugs for which there is no newer name.
_OLDER_ALONE = frozenset(
    {(403, "offramp_disabled"), (409, "session_already_used"), (422, "kyc_required"), (429, "rate_limit_exceeded")}
)
_OLDER_SLUGS = frozenset(slug for _, slug in _OLDER_ALONE)

#: What a slug looks like: `Not Found`, which other software calls an error, does not.
_SLUG = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")


def is_older_error(http_status: int, error: str, *, has_request_id: bool, has_id_in_body: bool) -> bool:
    """Whether an error without a `code` is one of Proof's older form.

    It is where only Proof used that slug with that status; where Proof uses the slug, and there is a request id; or
    where it looks like a slug, and the request id is in the body. Other software between us and Proof may say
    `{"error": "Not Found", "message": …}`.
    """
    if (http_status, error) in _OLDER or (http_status, error) in _OLDER_ALONE:
        return True
    is_known = error in _CODES or error in _OLDER_SLUGS
    return (is_known and has_request_id) or (has_id_in_body and _SLUG.fullmatch(error) is not None)


def name_error(http_status: int, error: str, code: str | None) -> tuple[str, str]:
    """The `error` and `code` that decide. An error without a code has its slug for one."""
    newer_error, newer_code = _OLDER.get((http_status, error), (error, None))
    named = newer_code or code or error
    if (newer_error, named) == ("invalid_request", "unsupported_currency"):
        named = "currency_not_allowed"
    return newer_error, named


def unknown_name(error: str, code: str) -> Drift | None:
    """What of an error's names, those that decide, Proof does not document."""
    if error not in _CODES and error not in _OLDER_SLUGS:
        return make_drift(DriftKind.SLUG, error)
    if code not in _CODES.get(error, ()) and code != error:
        return make_drift(DriftKind.CODE, f"{error}/{code}")
    return None
