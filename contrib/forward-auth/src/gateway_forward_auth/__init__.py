"""External authorisation for Gateway: another service decides over HTTP who may pass.

- ``ForwardAuth``: the policy.
- ``AuthClient``: asks the service, within a deadline.
- ``Decisions``: what was allowed lately, bounded in number and time.
"""
