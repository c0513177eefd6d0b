"""Structured logs: one line per outcome, for people on a terminal and as JSON elsewhere."""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, TextIO
from uuid import UUID

import structlog

from webhook_app.domain.text import visible, visible_line

#: The level of `run` on a terminal: warnings, failures and changes of state, and no line for each payment or person.
CHANGES = "changes"

#: What is logged as often as something ordinary happens.
ROUTINE = frozenset({"events accepted", "events duplicate", "reconciled", "logged in", "migration applied"})


def first_line(error: BaseException) -> str:
    """What is logged of an error from a driver, whose other lines hold the statement and its values."""
    return visible_line((str(error).splitlines() or [type(error).__name__])[0])


def configure_logging(log_format: str, level: str, process: str, stream: TextIO | None = None) -> None:
    """Sends our own and the libraries' log records through one formatter; `process` names the process on each line."""
    stream = stream or sys.stderr
    is_terminal = stream.isatty()
    as_json = log_format == "json" or (log_format == "auto" and not is_terminal)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso" if as_json else "%H:%M:%S", utc=as_json),
        _name_process(process),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    renderers: list[structlog.typing.Processor] = (
        [_render_json] if as_json else [_make_visible, structlog.dev.ConsoleRenderer(colors=is_terminal)]
    )
    handler = _Handler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _show_values,
                *renderers,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    if level == CHANGES:
        handler.addFilter(_is_no_routine)
        level = "info"
    root.setLevel(level.upper())
    # These tell of each job, each connection and each plug-in; of the first two our own lines do it better.
    logging.getLogger("rq").setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    # It would show the token of each handshake.
    logging.getLogger("websockets").setLevel(logging.WARNING)
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)


def get_logger() -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.get_logger()
    return logger


class _Handler(logging.StreamHandler[TextIO]):
    """Where nobody takes a line, it is lost, and no line about that follows it."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def _is_no_routine(record: logging.LogRecord) -> bool:
    """Of what is less than a warning, what libraries say is routine, too."""
    if record.levelno >= logging.WARNING:
        return True
    return isinstance(record.msg, dict) and record.msg.get("event") not in ROUTINE


def _show_values(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {name: _plain(value) for name, value in event.items()}


#: Most values of a line are of these, and stay as they are; to tell that by what they are not costs ten times as much.
_PLAIN = frozenset({str, int, float, bool, type(None)})


def _plain(value: Any) -> Any:
    """What a reader of a line wants to know of a value, and not how Python would write it: of an enum its value, of a
    path or a number its text, of a time ISO 8601, of a dataclass what its `repr` would show. Anything else as it is."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, (PurePath, Decimal, UUID, timedelta)):
        return str(value)
    if isinstance(value, (date, time)):
        return value.isoformat()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value) if field.repr}
    if isinstance(value, Mapping):
        return {_plain(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, AbstractSet)):
        return [_plain(one) for one in value]
    return value


def _make_visible(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Control and bidirectional characters are spelled out, and a value stays on its line. What is
    no text is shown by `repr`, which does the same."""
    return {
        visible_line(str(name)): (visible if name == "exception" else visible_line)(value)
        if isinstance(value, str)
        else value
        for name, value in event.items()
    }


def _render_json(logger: object, method: str, event: structlog.typing.EventDict) -> str:
    """JSON spells out everything but DEL."""
    line = _to_json(logger, method, event)
    return (line if isinstance(line, str) else line.decode()).replace("\x7f", "\\u007f")


_to_json = structlog.processors.JSONRenderer()


def _name_process(process: str) -> structlog.typing.Processor:
    def add(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["process"] = process
        return event

    return add
