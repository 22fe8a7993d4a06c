"""Service discovery for Gateway by DNS: A, AAAA and SRV records, asked again when their time to live is over."""
