"""Static service discovery for Gateway: services and instances listed in the configuration file."""
