"""An access log for Gateway: JSON or combined format, sampled, redacted, buffered."""
