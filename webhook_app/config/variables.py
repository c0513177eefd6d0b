"""What an environment variable is: a field of one of the groups of settings beside this file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any


class ConfigurationError(Exception):
    """One sentence that names the variable, what was found and what is allowed."""


@dataclass(frozen=True)
class Variable:
    """One environment variable, as `docs/configuration.md` and `webhook-app doctor` list it."""

    name: str
    default: str | None
    parse: Callable[[str], Any]
    meaning: str
    secret: bool
    unset: object
    """The setting's value where the variable is unset and has no default."""


def variable(
    default: str | None,
    parse: Callable[[str], Any],
    meaning: str,
    *,
    name: str = "",
    secret: bool = False,
    unset: object = None,
) -> Any:
    """A field of a group. The variable has the field's name in capitals, unless `name` says otherwise."""
    return field(metadata={"variable": Variable(name, default, parse, meaning, secret, unset)})


def declared_in(group: type) -> dict[str, Variable]:
    """A group's variables by the names of its fields, in their order."""
    declared: dict[str, Variable] = {one.name: one.metadata["variable"] for one in fields(group)}
    return {name: replace(variable, name=variable.name or name.upper()) for name, variable in declared.items()}
