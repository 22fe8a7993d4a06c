"""A policy for tea."""
