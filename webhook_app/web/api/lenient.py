"""Reading what is evidence: strict about what it is about, lenient about the rest. A field that cannot be read is left
out with a warning, for who sent it will not send it again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, missing

from webhook_app.domain.proof_json import NotAnObject, NotJson, Repeated, read_object
from webhook_app.domain.text import USABLE_ID, as_sentence, is_usable_id, storable
from webhook_app.web.errors import ApiError

REPEATED = "Comes twice, with different values."


class Plain(fields.Field[Any]):
    """A field of which nothing is asked but to be read."""

    def deserialize(
        self, value: Any, attr: str | None = None, data: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        """Without validators and hooks, of which there are none: to pass over them took longer than to read."""
        self._validate_missing(value)
        return value if value is missing or value is None else self._deserialize(value, attr, data, **kwargs)


class UsableId(Plain, fields.String):
    """A required `merchant_transaction_id`."""

    default_error_messages = {  # noqa: RUF012 - marshmallow declares it so
        "invalid": "Must be 1 to 128 letters, digits, dots, colons, underscores and hyphens.",
        "repeated": REPEATED,
    }

    def __init__(self) -> None:
        super().__init__(required=True, metadata={"pattern": f"^{USABLE_ID.pattern}$"})

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        if isinstance(value, Repeated):
            raise self.make_error("repeated")
        if not isinstance(value, str) or not is_usable_id(value):
            raise self.make_error("invalid")
        return value


class Lenient(Plain):
    """What cannot be read is a warning, so any JSON value may be sent. `read` raises ValueError."""

    def __init__(
        self,
        read: Callable[[Any], Any],
        example: str,
        description: str = "",
        *,
        allow_none: bool = False,
        **kwargs: Any,
    ) -> None:
        any_type = ["string", "number", "boolean", "object", "array"]
        if not allow_none:  # or apispec adds it
            any_type.append("null")
        described = {"description": description} if description else {}
        metadata = {"type": any_type, "examples": [example]} | described
        super().__init__(allow_none=allow_none, metadata=metadata, **kwargs)
        self._read = read

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if isinstance(value, Repeated):
            raise ValidationError("Comes twice, with different values; ignored.")
        try:
            return self._read(value)
        except ValueError as error:
            raise ValidationError(as_sentence(f"{error}; ignored")) from error


def text_of(limit: int) -> Callable[[Any], str]:
    """Reads a text of at most so many characters that any database takes."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or value != storable(value, limit):
            raise ValueError(f"not a text of at most {limit} characters")
        return value

    return read


def decode_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a request's body, its numbers exact. Raises ApiError 400."""
    try:
        return read_object(body)
    except NotJson as error:
        raise ApiError(400, "invalid_request", "decode_error", "The body is not JSON.") from error
    except NotAnObject as error:
        raise ApiError(400, "invalid_request", "validation_error", "The body must be a JSON object.") from error


def load(
    schema: Schema, payload: Mapping[str, Any], required: Collection[str]
) -> tuple[dict[str, Any], Mapping[str, list[str]]]:
    """The values that can be read, and why each other one cannot. Raises ApiError 400 where that is a required one."""
    values: dict[str, Any] = {}
    messages: dict[str, list[str]] = {}
    # What `schema.load` does for a schema without hooks and validators of its own, in half the time; its fields decide.
    for name, one in schema.load_fields.items():
        key = one.data_key or name
        try:
            value = one.deserialize(payload.get(key, missing), key, payload)
        except ValidationError as error:
            of_field: Any = error.messages  # a list, for no field here holds others
            messages[key] = of_field
        else:
            if value is not missing:
                values[name] = value
    fatal = {name: messages[name] for name in required if name in messages}
    if fatal:
        code = "validation_error" if all(name in payload for name in fatal) else "missing_param"
        raise ApiError(400, "invalid_request", code, " ".join(lines(fatal)), fatal)
    return values, messages


def lines(messages: Mapping[str, list[str]]) -> list[str]:
    """A line for each field, with its name and what is wrong with it, in sentences."""
    return [f"{name}: {' '.join(texts)}" for name, texts in messages.items()]
