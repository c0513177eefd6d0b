"""All settings in one object, put together of their groups."""

from __future__ import annotations

from dataclasses import dataclass

from webhook_app.config.doors import DoorSettings
from webhook_app.config.notify import NotifySettings
from webhook_app.config.patience import PatienceSettings
from webhook_app.config.proof import ProofSettings
from webhook_app.config.reports import ReportSettings
from webhook_app.config.sandbox import SandboxSettings
from webhook_app.config.storage import StorageSettings
from webhook_app.config.variables import Variable, declared_in
from webhook_app.config.web import WebSettings
from webhook_app.domain.gate import Limits


@dataclass(frozen=True)
class Settings(
    StorageSettings,
    ProofSettings,
    DoorSettings,
    WebSettings,
    PatienceSettings,
    NotifySettings,
    SandboxSettings,
    ReportSettings,
):
    """What is in force."""

    @property
    def limits(self) -> Limits:
        return Limits(
            self.proof_max_calls_per_second,
            self.proof_max_concurrency,
            self.pause_after_failures,
            self.probe_first,
            self.probe_cap,
            self.slowest_call,
        )


#: Each variable by its setting, in the order of the groups and of `docs/configuration.md`.
BY_SETTING: dict[str, Variable] = {
    setting: variable for group in Settings.__bases__ for setting, variable in declared_in(group).items()
}
VARIABLES = tuple(BY_SETTING.values())
