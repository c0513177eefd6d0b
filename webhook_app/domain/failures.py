"""How a call to Proof can fail: one typed value, whatever went wrong on the way (proof/README.md, "Errors")."""

from __future__ import annotations

from dataclasses import dataclass, field

from webhook_app.domain.drift import Drift


@dataclass(frozen=True)
class Failure:
    """One failed call. `http_status`, `error` and `code` together name it; `message` is for people and logs only."""

    http_status: int | None
    """None when no HTTP answer came: time-out, refused, TLS."""
    error: str
    code: str
    message: str
    request_id: str | None = None
    """Proof's `X-Request-Id`, for its support."""
    retry_after: float | None = None
    """Seconds, from a `Retry-After` header (RFC 9110, 10.2.3)."""
    drift: tuple[Drift, ...] = field(default=(), compare=False)
    """What in the answer this release does not know; it is counted, and no part of what names the failure."""
    answer_body: str | None = field(default=None, compare=False)
    """The beginning of Proof's answer, masked; None where none came."""
    answer_headers: str | None = field(default=None, compare=False)
    """Those of its headers that matter, a line each."""

    @property
    def name(self) -> str:
        """For people, logs and job titles."""
        return name_failure(self.http_status, self.error, self.code)


def name_failure(http_status: int | None, error: str, code: str | None) -> str:
    """Such as `502 upstream_error/provider_error`; `404 not_found` where the code says the same as the error."""
    return f"{http_status or 'no answer'} {name_error(error, code)}"


def name_error(error: str, code: str | None) -> str:
    """Both, unless the code is missing or says the same as the error."""
    return f"{error}/{code}" if code and code != error else error


#: `error` of an answer that is not in Proof's error shape: something between us and Proof spoke.
UNRECOGNISED = "unrecognised_answer"

#: `error` and `code` where no answer, or no usable one, came. The slugs are Proof's own words for the same.
UPSTREAM_UNAVAILABLE = "upstream_unavailable"
INVALID_RESPONSE = "upstream_invalid_response"
UNKNOWN_STATUS = "unknown_status"
"""Proof's answer about the right transaction, whose status is a word that this release does not know."""
UNUSABLE = "unusable_transaction"
"""Proof's answer about the right transaction, in which another field cannot be used."""
TIMEOUT = "timeout"
CONNECTION_FAILED = "connection_failed"
TLS_FAILED = "tls_failed"

#: `error` and `code` of a call that was never made, for no URL can carry its id (`.`, `..`).
INVALID_REQUEST = "invalid_request"
UNSENDABLE_ID = "unsendable_id"

#: `error` and `code` of a reconciliation whose worker died: its lease ran out.
WORKER_DIED = "worker_died"
LEASE_EXPIRED = "lease_expired"


def invalid_response(
    http_status: int,
    message: str,
    request_id: str | None,
    *,
    code: str = INVALID_RESPONSE,
    drift: tuple[Drift, ...] = (),
) -> Failure:
    """A success status with a body that cannot be believed: HTML, truncated, wrong shape, another transaction's. With
    the code UNKNOWN_STATUS or UNUSABLE it is Proof's word on the right transaction, so Proof works."""
    return Failure(http_status, UPSTREAM_UNAVAILABLE, code, message, request_id, drift=drift)


def worker_died(crashes: int) -> Failure:
    """A lease ran out `crashes` times in a row: no worker came back with an answer."""
    return Failure(
        None, WORKER_DIED, LEASE_EXPIRED, f"the worker that worked on it died or hung, {crashes} times in a row"
    )
