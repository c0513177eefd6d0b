"""JSON as Proof may write it: numbers exact, and taken wherever nothing can be misread (docs/proof-answers.md)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

#: Digits up to which a whole number is an `int`; Python refuses to make one of some thousand digits.
_MOST_DIGITS = 400


class NotJson(ValueError):
    """The bytes are not JSON."""


class NotAnObject(ValueError):
    """The bytes are JSON, but not a JSON object."""


@dataclass(frozen=True)
class Repeated:
    """The value of a field that came several times with different values: which one counts cannot be told."""

    values: tuple[Any, ...]


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. Raises NotJson or NotAnObject.

    A whole number is an int, any other a Decimal, infinite where its exponent is beyond any decimal. A byte that is
    not UTF-8 is one of U+DC80 … U+DCFF, so that no text which holds one passes for a readable one. A field of the
    object that is there several times with different values is `Repeated`; further inside, the last one counts.
    """
    try:
        found = _DECODER.decode(_decode(body))
    except (ValueError, RecursionError) as error:
        raise NotJson("not JSON") from error
    if not isinstance(found, _Object):
        raise NotAnObject("JSON, but not an object")
    return {**found, **found.repeated}


def has_bad_bytes(text: str) -> bool:
    """Whether this text of a JSON object holds a byte that is not UTF-8."""
    return not text.isascii() and any("\udc80" <= character <= "\udcff" for character in text)


class _Object(dict[str, Any]):
    """An object, and those of its fields that came with different values."""

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated: dict[str, Repeated] = {}
        if len(self) == len(pairs):
            return
        values: dict[str, list[Any]] = {}
        for name, value in pairs:
            values.setdefault(name, []).append(value)
        for name, all_values in values.items():
            if any(type(one) is not type(all_values[0]) or one != all_values[0] for one in all_values):
                self.repeated[name] = Repeated(tuple(all_values))


def _decode(body: bytes) -> str:
    encoding = json.detect_encoding(body)
    return body.decode(encoding, "surrogateescape" if encoding.startswith("utf-8") else "surrogatepass")


def _whole(text: str) -> int | Decimal:
    return int(text) if len(text) <= _MOST_DIGITS else _decimal(text)


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("Infinity")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(
    parse_float=_decimal, parse_int=_whole, parse_constant=_refuse_constant, object_pairs_hook=_Object
)
