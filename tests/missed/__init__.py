"""Whether a transaction is missed: many sessions through us, webhooks lost, and what became of each."""
