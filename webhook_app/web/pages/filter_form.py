"""A filter as it stands in an address or a form: what was typed, what it means, and what is wrong with it by field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from marshmallow import Schema, ValidationError

from webhook_app.domain.timestamps import format_timestamp

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

    @property
    def is_empty(self) -> bool:
        return not self.typed

    @property
    def wrong_fields(self) -> str:
        return ", ".join(self.labels.get(name, name) for name in self.problems)

    def moment(self, name: str) -> str:
        """A moment as a browser's date and time field takes it; what was typed where that is no moment."""
        written = format_timestamp(getattr(self.wanted, name))
        return self.typed.get(name, "") if written is None else written.removesuffix("Z").removesuffix(":00")

    def is_day(self, name: str) -> bool:
        """Whether a browser's date field can hold it: nothing, or a midnight in UTC."""
        moment: datetime | None = getattr(self.wanted, name)
        if moment is None:
            return name not in self.typed
        return moment.astimezone(UTC).time() == datetime.min.time()


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
