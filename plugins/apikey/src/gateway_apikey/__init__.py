"""API keys for Gateway: header, query, cookie or Authorization, hashed, from the configuration or a file."""
