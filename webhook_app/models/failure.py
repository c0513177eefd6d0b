"""A failure as it is stored: five columns, read as one value and written from one."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Mapped, composite

from webhook_app.domain.failures import Failure

_COLUMNS = ("http_status", "error", "code", "message", "request_id")


def failure_from_columns(prefix: str = "") -> Mapped[Failure | None]:
    """The mapped value of the columns `<prefix>http_status` … `<prefix>request_id`; None where they hold no failure.

    It is for reading; `failure_columns` is for writing.
    """
    return composite(read_failure, *(f"{prefix}{column}" for column in _COLUMNS))


def failure_columns(failure: Failure | None, prefix: str = "") -> dict[str, Any]:
    """The values of these columns, by name."""
    return {f"{prefix}{column}": failure and getattr(failure, column) for column in _COLUMNS}


def read_failure(
    http_status: int | None, error: str | None, code: str | None, message: str | None, request_id: str | None
) -> Failure | None:
    """From the values of these columns. An attempt that succeeded has a status and a request id too, and no error."""
    return None if error is None else Failure(http_status, error, code or "", message or "", request_id)
