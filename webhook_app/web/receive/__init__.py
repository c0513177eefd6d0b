"""The webhook endpoint, and the page of what it refused."""
