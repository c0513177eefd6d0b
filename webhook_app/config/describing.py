"""Settings as environment variables: for another process, and for people, secrets masked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from webhook_app.config.readers import without_passwords
from webhook_app.config.settings import BY_SETTING, VARIABLES
from webhook_app.config.variables import Variable
from webhook_app.domain.text import visible_line


def environment(**values: str) -> dict[str, str]:
    """Environment variables for another process, each named by its setting: `environment(port="8000")`."""
    return {BY_SETTING[setting].name: value for setting, value in values.items()}


def describe_settings(environ: Mapping[str, str]) -> list[tuple[Variable, str]]:
    """Each variable with the value in force, secrets and passwords masked."""
    # An address of ours, such as SANDBOX_WEBHOOK_URL, may have the webhooks' secret in it.
    hidden = [part.strip() for part in environ.get("PROOF_WEBHOOK_SECRETS", "").split(",") if part.strip()]
    return [(variable, _masked(variable, environ.get(variable.name, "").strip(), hidden)) for variable in VARIABLES]


def _masked(variable: Variable, found: str, hidden: Sequence[str]) -> str:
    if not found:
        return f"{variable.default} (default)" if variable.default else "(unset)"
    if variable.secret:
        return "(set)"
    for secret in hidden:
        found = found.replace(secret, "***")
    return visible_line(without_passwords(found))
