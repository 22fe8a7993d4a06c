"""Load balancers for Gateway: which instance of a service gets the next attempt.

One module for each balancer, named as ``loadBalance`` names it. What they share: ``candidates`` (who takes traffic),
``shares`` (drawing by weight), ``smooth_schedule`` (taking turns by weight) and ``load_table`` (who has least to do).

All of them keep what they derive from the instances until they are given another tuple, need O(log n) per selection
at most, and avoid what ``exchange.excluded`` names as long as others remain. Chance comes from a function that returns
numbers in [0, 1), ``random.random`` unless a test gives another.
"""
