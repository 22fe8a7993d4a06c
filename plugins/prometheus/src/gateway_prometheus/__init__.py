"""Prometheus metrics for Gateway.

The recorder counts in every process that serves; the exporter, in the control plane, adds up what all of them counted
and renders it, below ``/_gateway``, at a path of the operator's choice, or on a port of its own.
"""
