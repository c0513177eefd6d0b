"""Pages of the channels beside the webhook."""
