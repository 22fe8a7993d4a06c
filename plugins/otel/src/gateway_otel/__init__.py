"""Traces, metrics and correlated logs for Gateway by OpenTelemetry.

In every process that serves, ``tracing`` decides for each request whether it is recorded, makes spans of those that
are, and hands them to ``batching``, which sends them by ``otlp``. In the control plane, ``metrics`` sends what all
processes have counted. ``encoding`` makes protocol buffers of both.
"""
