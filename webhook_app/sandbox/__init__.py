"""Our stand-in for Proof: a real HTTP server with sessions, lifecycles, webhooks and faults."""
