"""Retries for Gateway: backoff, deadlines and a budget.

- ``Retry``: the policy, which makes a ``RetryingRoute`` of each route.
- ``RetryBudget``: how much of a service's traffic may be retries.
- ``TryClock``: how long one try may take.
- ``Recording``: a request body that can be sent again.
"""
