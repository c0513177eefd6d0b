"""The configuration: each environment variable is declared once, as a field of a group of settings, and read at start.

A new variable is one field in its group (`notify.py`, `proof.py`, …) and one row in `docs/configuration.md`, in the
same order.
"""

from webhook_app.config.describing import describe_settings, environment
from webhook_app.config.loading import load_settings, refuse_private
from webhook_app.config.settings import VARIABLES, Settings
from webhook_app.config.variables import ConfigurationError, Variable

__all__ = [
    "VARIABLES",
    "ConfigurationError",
    "Settings",
    "Variable",
    "describe_settings",
    "environment",
    "load_settings",
    "refuse_private",
]
