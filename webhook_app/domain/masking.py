"""Masking: a foreign text for people to read, without what is personal or secret in it.

It has to hold for any text: JSON that was cut off, JSON inside HTML, an error page. So it is looked for by its form,
and nothing is parsed.
"""

from __future__ import annotations

import json
import re

MASK = "***"

#: A field is personal or secret where its name, in lower case and without `_`, `-` and spaces, holds one of these …
_PARTS = (
    *("email", "address", "token", "signature", "phone", "mobile", "password", "secret", "authorization", "cookie"),
    *("apikey", "iban", "bic", "card", "cvv", "accountnumber", "passport", "birth", "street", "postal", "zipcode"),
    *("taxid", "ssn", "nationalid", "clientip", "remoteip", "useragent"),
)
#: … or ends with one of these.
_ENDS = ("mail", "name", "ip", "pan", "city", "dob")

#: The name of a field, and the colon after it.
_NAME = re.compile(r'"((?:[^"\\]|\\.){1,100})"\s*:\s*')
_STRING = re.compile(r'"(?:[^"\\]|\\.)*("|\Z|\\\Z)', re.DOTALL)
_PLAIN = re.compile(r"[^\s,}\]]+")
#: What is in no field, or in one whose name says nothing.
_LOOSE = (
    re.compile(r"[^\s@\"'<>(),;:=]{1,64}@[^\s@\"'<>(),;:=]{1,255}"),  # an e-mail address
    re.compile(r"(?<=[Bb]earer )\s*[^\s\"'<>,]+"),
    re.compile(r"\beyJ[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*){1,4}"),  # a JSON web token
    re.compile(
        r"(?i)(?<=token=)[^\s&\"'<>]+|(?<=secret=)[^\s&\"'<>]+|(?<=signature=)[^\s&\"'<>]+|(?<=mail=)[^\s&\"'<>]+"
    ),
)
#: A long run without a space that has digits and letters: a token, wherever it stands in a text that is no JSON. Ids
#: such as UUIDs stay.
_OPAQUE = re.compile(r"\b(?=[A-Za-z_-]*[0-9])(?=[0-9_-]*[A-Za-z])[A-Za-z0-9_-]{24,}\b")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def mask(text: str) -> str:
    """`text` with the values of personal and secret fields replaced by `***`, at any depth, and what looks like an
    e-mail address or a token."""
    masked = _mask_fields(text)
    for loose in _LOOSE:
        masked = loose.sub(MASK, masked)
    if text.lstrip()[:1] in ("{", "["):
        return masked
    return _OPAQUE.sub(lambda found: found[0] if _UUID.fullmatch(found[0]) else MASK, masked)


def is_personal(name: str) -> bool:
    """Whether the value of a field of that name is not for everybody who may look at failures."""
    plain = re.sub(r"[_\-\s]", "", name).lower()
    return any(part in plain for part in _PARTS) or plain.endswith(_ENDS)


def _mask_fields(text: str) -> str:
    parts, at = [], 0
    while found := _NAME.search(text, at):
        parts.append(text[at : found.end()])
        at = found.end()
        if is_personal(_unescaped(found[1])):
            end = _end_of_value(text, at)
            parts.append("null" if text[at:end] == "null" else f'"{MASK}"')
            at = end
    return "".join((*parts, text[at:]))


def _unescaped(name: str) -> str:
    try:
        return str(json.loads(f'"{name}"', strict=False))
    except ValueError:
        return name


def _end_of_value(text: str, at: int) -> int:
    """Where the JSON value that begins at `at` ends; at the end of the text where it was cut off."""
    depth = 0
    while at < len(text):
        character = text[at]
        if character == '"':
            found = _STRING.match(text, at)
            at = found.end() if found else len(text)
        elif character in "{[":
            depth, at = depth + 1, at + 1
        elif character in "}]":
            if depth == 0:
                return at
            depth, at = depth - 1, at + 1
        elif depth:
            at += 1
            continue
        else:
            plain = _PLAIN.match(text, at)
            return plain.end() if plain else at
        if depth == 0:
            return at
    return len(text)
