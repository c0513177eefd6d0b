"""The values of the variables that say who is notified of incidents: like those in `readers`."""

from __future__ import annotations

import re
from datetime import time

from webhook_app.domain.incidents import IncidentKind
from webhook_app.domain.notices import QuietHours, read_signing_key
from webhook_app.domain.severity import Severity

_MAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,190}")


def read_flag(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("true or false")
    return text.lower() == "true"


def read_signing_secret(text: str) -> str:
    try:
        read_signing_key(text)
    except ValueError:
        raise ValueError("whsec_ and 24 to 64 bytes in base64") from None
    return text


def read_routing_key(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{8,64}", text):
        raise ValueError("an integration key: 8 to 64 letters and digits")
    return text


def read_mail_address(text: str) -> str:
    if not _MAIL.fullmatch(text):
        raise ValueError("a mail address, such as alerts@example.com")
    return text


def read_mail_addresses(text: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found or not all(_MAIL.fullmatch(one) for one in found):
        raise ValueError("mail addresses separated by commas")
    return found


def read_severity(text: str) -> Severity:
    try:
        return Severity(text.lower())
    except ValueError:
        raise ValueError("one of " + ", ".join(Severity)) from None


def read_incident_kinds(text: str) -> tuple[str, ...]:
    found = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    if not found or not set(found) <= set(IncidentKind):
        raise ValueError("kinds of incident separated by commas, of " + ", ".join(IncidentKind))
    return found


def read_quiet_hours(text: str) -> QuietHours:
    found = re.fullmatch(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])", text.replace(" ", ""))
    if found is None or found[1] + found[2] == found[3] + found[4]:
        raise ValueError("two different times of day, such as 22:00-07:00")
    begin_hour, begin_minute, end_hour, end_minute = map(int, found.groups())
    return QuietHours(time(begin_hour, begin_minute), time(end_hour, end_minute))
