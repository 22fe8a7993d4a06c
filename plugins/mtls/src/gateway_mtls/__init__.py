"""Client certificates for Gateway: who is calling, by the certificate of the TLS connection."""
