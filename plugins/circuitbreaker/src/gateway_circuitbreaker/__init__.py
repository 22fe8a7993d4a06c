"""Circuit breakers for Gateway: what fails is left alone for a while.

- ``RollingWindow``: how many of the last requests failed.
- ``Circuit``: one state machine: closed, open, half-open.
- ``CircuitTable``: all circuits of a worker, over reloads.
- ``CircuitBreaker``: the policy, which asks circuits before a request and tells them what became of it.
"""
