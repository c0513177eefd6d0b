"""What an error of SQL, Redis or the network says, in words for people: no class of Python, no host, nothing that was
sent."""

from __future__ import annotations

import re

_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
#: `(psycopg.errors.UndefinedTable) `, with which SQLAlchemy begins an error's words.
_CLASS = re.compile(r"\((?:[A-Za-z_]\w*\.)*[A-Z]\w*\) ")


def name_cause(error: BaseException) -> str:
    """In a few words, such as "insufficient privilege": the condition that PostgreSQL or SQLite names, the system's
    words for an error of its own, or what the error is called."""
    driver = getattr(error, "orig", None) or error
    if getattr(driver, "sqlstate", None):
        return _spell(type(driver).__name__)  # psycopg calls its classes as PostgreSQL calls its conditions
    if code := getattr(driver, "sqlite_errorname", None):
        return f"SQLite says {code.removeprefix('SQLITE_').lower().replace('_', ' ')}"
    if isinstance(driver, OSError) and driver.strerror:
        return driver.strerror
    name = type(driver).__name__
    if "Timeout" in name:
        return "no answer in time"
    if name == "ResponseError":  # redis-py's, of which the first word is Redis' name for the condition
        code = str(driver).partition(" ")[0]
        return f"it refuses commands ({code})" if code.isalpha() and code.isupper() else "it refuses commands"
    return "no connection" if name in ("ConnectionError", "OperationalError") else _spell(name)


def without_class(words: str) -> str:
    """The words of an error without the class that SQLAlchemy puts before them."""
    return _CLASS.sub("", words, count=1) if words.startswith("(") else words


def _spell(name: str) -> str:
    """`UndefinedTable` as "undefined table"."""
    return _CAPITAL.sub(" ", name).removesuffix(" Error").lower()
