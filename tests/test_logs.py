"""Log lines: whoever wrote what is in them, nothing in them is obeyed by a terminal or passes for a line of its own."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from webhook_app.domain.status import Status
from webhook_app.logs import ROUTINE, configure_logging, get_logger

HOSTILE = "a\x00\x07\x1b[2J\x7f\x9b31m\u202e\u2066\u200e\u061c\u2028\r\n23:59:59 [info] all is well"
DANGEROUS = set(map(chr, [*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F)]))
DANGEROUS |= set(map(chr, range(0x2066, 0x206A)))


def say_event() -> None:
    get_logger().warning(HOSTILE)


def say_value() -> None:
    get_logger().warning("an event", text=HOSTILE, many=[HOSTILE], raw=HOSTILE.encode(), error=ValueError(HOSTILE))


def say_name() -> None:
    get_logger().warning("an event", **{HOSTILE: 1})


def say_as_a_library() -> None:
    logging.getLogger("somebody").warning("said %s", HOSTILE)


@pytest.mark.parametrize("say", [say_event, say_value, say_name, say_as_a_library])
@pytest.mark.parametrize("log_format", ["console", "json"])
def test_line_stays_one_line_in_which_all_is_visible(log_format: str, say: Callable[[], None]) -> None:
    stream = io.StringIO()
    configure_logging(log_format, "info", "test", stream)
    say()
    (line,) = stream.getvalue().split("\n")[:-1]
    assert not DANGEROUS & set(line)
    assert "u202e" in line
    if log_format == "json":
        assert HOSTILE in str(list(json.loads(line).items())) or HOSTILE in "".join(map(str, _texts(json.loads(line))))


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in _texts(part)]
    return [text for part in value for text in _texts(part)] if isinstance(value, list) else [str(value)]


class Number(Enum):
    ONE = 1


@dataclass(frozen=True)
class Held:
    status: Status
    since: datetime
    password: str = field(default="s3cret-word", repr=False)


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_values_are_shown_as_a_reader_knows_them(log_format: str) -> None:
    """`status=<Status.PENDING: 'pending'>` stood there."""
    stream = io.StringIO()
    configure_logging(log_format, "info", "test", stream)
    at = datetime(2026, 4, 1, 10, 0, tzinfo=UTC)
    get_logger().info(
        "an event",
        status=Status.PENDING,
        many=[Status.FAILED, Number.ONE],
        by_key={Status.COMPLETED: Path("/var/lib")},
        path=Path("/var/lib"),
        at=at,
        lasted=timedelta(seconds=90),
        amount=Decimal("1.50"),
        id=UUID(int=7),
        held=Held(Status.CANCELLED, at),
    )
    line = stream.getvalue()
    assert not re.search(r"Status|Number|Path|datetime|Decimal|UUID|Held|s3cret-word", line)
    if log_format == "console":
        assert "status=pending\n" in line
        assert "at=2026-04-01T10:00:00+00:00 " in line
        return
    told = json.loads(line)
    assert {name: told[name] for name in ("status", "many", "by_key", "path", "at", "lasted", "amount", "held")} == {
        "status": "pending",
        "many": ["failed", 1],
        "by_key": {"completed": "/var/lib"},
        "path": "/var/lib",
        "at": "2026-04-01T10:00:00+00:00",
        "lasted": "0:01:30",
        "amount": "1.50",
        "held": {"status": "cancelled", "since": "2026-04-01T10:00:00+00:00"},
    }


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_exception_keeps_its_lines_and_nothing_that_a_terminal_obeys(log_format: str) -> None:
    stream = io.StringIO()
    configure_logging(log_format, "info", "test", stream)
    try:
        raise ValueError(HOSTILE.replace("\r\n", " "))
    except ValueError as error:
        get_logger().error("it broke", exc_info=error)
    told = stream.getvalue()
    assert not (DANGEROUS - {"\n"}) & set(told)
    assert "ValueError: a" in told


def test_changes_are_what_no_payment_makes(capsys: pytest.CaptureFixture[str]) -> None:
    """What `run` shows on a terminal, so that the password it has said stays on the screen."""
    stream = io.StringIO()
    configure_logging("json", "changes", "test", stream)
    log = get_logger()
    for event in ROUTINE:
        log.info(event)
    logging.getLogger("a.library").info("connected")
    log.warning("reconciled", failure="502 upstream_error/provider_error")
    log.info("SQL is back")
    log.debug("not even this")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["reconciled", "SQL is back"]


def test_routine_lines_are_those_that_the_code_has() -> None:
    code = "".join(path.read_text() for path in (Path(__file__).parents[1] / "webhook_app").rglob("*.py"))
    assert [event for event in ROUTINE if code.count(f'"{event}"') < 2] == []


class Full(io.StringIO):
    def write(self, _text: str) -> int:
        raise OSError(28, "No space left on device")


def test_stream_that_takes_nothing_loses_the_line_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("console", "info", "test", Full())
    get_logger().warning("lost")
    assert capsys.readouterr().err == ""
