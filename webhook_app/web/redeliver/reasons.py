"""The reason that every replay is ordered with, as it stands in a form."""

from __future__ import annotations

from flask import request

LONGEST_REASON = 500


def read_reason() -> str:
    return request.form.get("reason", "").strip()


def reason_problem(reason: str) -> str:
    """What is wrong with it, in words; empty for nothing."""
    if not reason:
        return "Give a reason: it goes into the audit log."
    if len(reason) > LONGEST_REASON:
        return f"Keep the reason below {LONGEST_REASON} characters."
    return ""
