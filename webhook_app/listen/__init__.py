"""The WebSocket channel: what exists because connections to Proof stay open."""
