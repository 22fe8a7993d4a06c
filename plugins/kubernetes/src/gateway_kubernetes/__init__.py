"""Service discovery for Gateway by Kubernetes."""
