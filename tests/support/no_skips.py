"""A pytest plugin (`-p tests.support.no_skips`): with WEBHOOK_APP_FORBID_SKIPS=1 a skipped test fails the run."""

from __future__ import annotations

import os

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fails a run that was all right but for what it skipped."""
    if _skips(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Says so at the end."""
    if skips := _skips(config):
        terminalreporter.section("skips are forbidden here", red=True)
        terminalreporter.write_line(f"{skips} skipped; unset WEBHOOK_APP_FORBID_SKIPS to allow that.")


def _skips(config: pytest.Config) -> int:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or os.environ.get("WEBHOOK_APP_FORBID_SKIPS") != "1":
        return 0
    return len(reporter.stats.get("skipped", []))
