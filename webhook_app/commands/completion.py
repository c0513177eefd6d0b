"""`webhook-app completion`: lets a shell complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from webhook_app.console import say

_WHERE = {"bash": "~/.bashrc", "zsh": "~/.zshrc", "fish": "~/.config/fish/completions/webhook-app.fish"}


@click.command()
@click.argument("shell", type=click.Choice(list(_WHERE)))
def completion(shell: str) -> None:
    """Print the script by which SHELL completes `webhook-app …`.

    For this session: eval "$(webhook-app completion bash)". For all of them, add the script to the shell's own files:
    ~/.bashrc, ~/.zshrc, or ~/.config/fish/completions/webhook-app.fish.
    """
    found = get_completion_class(shell)
    assert found is not None, "click has these three"
    say(found(click.get_current_context().find_root().command, {}, "webhook-app", "_WEBHOOK_APP_COMPLETE").source())
