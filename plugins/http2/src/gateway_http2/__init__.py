"""HTTP/2 for Gateway: towards clients by ALPN and prior knowledge, and towards services."""
