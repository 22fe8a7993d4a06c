"""Cross-origin resource sharing for Gateway."""
