"""The conftest.py at the root of a plugin's tests."""

pytest_plugins = ["gateway.testing"]
