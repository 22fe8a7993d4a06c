"""Server-sent events for Gateway."""
