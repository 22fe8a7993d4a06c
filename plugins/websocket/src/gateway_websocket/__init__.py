"""WebSocket for Gateway."""
