"""HTTP/1.1 for Gateway: the adapter that listens for clients and the connector that speaks to services."""
