"""What brings us news of a transaction beside the webhook: watch, sessions, polling, WebSocket, hints, backfill."""
