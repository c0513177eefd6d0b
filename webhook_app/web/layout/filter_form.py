"""A filter as it stands in an address or a form: what was typed, what it means, and what is wrong with it by field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Any, Generic, TypeVar

from marshmallow import Schema, ValidationError
from werkzeug.datastructures import MultiDict

Wanted = TypeVar("Wanted")

#: Said of a cursor that was not made here.
LOST = "This address was cut or changed, so it is not known where the page begins. Begin with the newest."


@dataclass(frozen=True)
class FilterForm(Generic[Wanted]):
    labels: Mapping[str, str]
    """Each field of the filter, as the page calls it."""
    typed: Mapping[str, str]
    wanted: Wanted
    problems: Mapping[str, str] = field(default_factory=dict)
    zone: tzinfo = UTC
    """Of which its dates are, and times without an offset."""

    @property
    def is_empty(self) -> bool:
        """A time zone alone narrows nothing."""
        return not self.typed.keys() - {"tz"}

    @property
    def wrong_fields(self) -> str:
        return ", ".join(self.labels[name] for name in self.problems if name in self.labels)

    @property
    def unknown(self) -> list[str]:
        """Names in the address that are no fields."""
        return [name for name in self.problems if name not in self.labels]

    def timestamp(self, name: str) -> str:
        """A timestamp as a browser's date and time field takes it; what was typed where that is no timestamp."""
        timestamp = getattr(self.wanted, name)
        if timestamp is None:
            return self.typed.get(name, "")
        written: str = timestamp.astimezone(self.zone).replace(tzinfo=None).isoformat()
        return written.removesuffix(":00")

    def day(self, name: str) -> str | None:
        """The same for a browser's date field; None where that cannot hold it, for it has a time of day."""
        text = self.timestamp(name).removesuffix("T00:00")
        return text if len(text) in (0, 10) else None


def clean(values: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    """Those of `values` that are named and not blank."""
    return {name: values[name].strip() for name in names if values.get(name, "").strip()}


def check(schema: Schema, typed: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """What was typed, loaded; or nothing, and what is wrong with it by field."""
    try:
        return dict(schema.load(typed)), {}
    except ValidationError as error:
        messages = error.messages if isinstance(error.messages, dict) else {}
        return {}, {name: " ".join(map(str, texts)) for name, texts in messages.items()}


def find_strange(values: MultiDict[str, str], names: Mapping[str, str]) -> dict[str, str]:
    """What is wrong with an address besides the values: a name that is no field, or one that is given twice."""
    strange = {name: "There is no such filter." for name in values if name not in names and name != "cursor"}
    return strange | {name: "Given more than once." for name, texts in values.lists() if len(texts) > 1}
