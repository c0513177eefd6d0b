"""The commands of `webhook-app`, one module a group."""
