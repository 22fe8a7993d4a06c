"""Health checks for Gateway: active and passive, slow start, and the gateway's own health endpoints.

Four components read the block ``health``:

- the health checker (``active``), in the control plane: asks instances and dependencies, and marks instances;
- the observer (``passive``), in every worker: sees what becomes of attempts, and ejects outliers;
- the policy (``endpoints``), in every worker: answers ``healthPath``, ``readyPath`` and ``livePath``;
- the admin routes (``reports``), in the control plane: say what was found.
"""
