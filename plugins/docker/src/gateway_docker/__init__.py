"""Service discovery for Gateway by Docker, Docker Compose and Compose files."""
