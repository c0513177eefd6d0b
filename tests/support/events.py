"""Proof's documented webhook, as data, and variations of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "data"

#: The transaction of Proof's documentation; the sandbox always holds it, `completed`.
DOCUMENTED_ID = "550e8400-e29b-41d4-a716-446655440000"


def webhook(**changes: Any) -> dict[str, Any]:
    """Proof's documented webhook with some fields changed; `...` leaves a field out."""
    payload = json.loads((DATA / "partner-webhook.json").read_text()) | changes
    return {name: value for name, value in payload.items() if value is not ...}
