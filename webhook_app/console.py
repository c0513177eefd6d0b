"""What commands say to people: on any terminal, whatever characters the text holds."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TextIO

import click

from webhook_app.domain.text import visible

#: In place of what a terminal that is not UTF-8 cannot show; everything else it lacks is spelled out.
_PLAIN = str.maketrans({"✓": "+", "✗": "x", "…": "...", "—": "-", "·": "-", "→": "->", "’": "'", "\u202f": " "})


def open_streams() -> None:
    """At the start of a command: a standard stream that was closed leads nowhere, and no character ends the command."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number is this one
        if getattr(sys, name) is None:
            mode = "w" if number else "r"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - a number
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(text: str, *, err: bool = False) -> None:
    """Writes the text and the end of a line to standard output or error. Raises OSError where nobody takes it."""
    stream = sys.stderr if err else sys.stdout
    try:
        click.echo(_fitting(visible(text), stream), file=stream)
    except OSError:
        _lead_nowhere(stream)
        raise


def _fitting(text: str, stream: TextIO) -> str:
    encoding = stream.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_PLAIN).encode(encoding, "backslashreplace").decode(encoding)
    return text


def _lead_nowhere(stream: TextIO) -> None:
    """Python would try once more to write what is left when it ends, and complain."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
