"""Gateway as an ASGI application, behind uvicorn, hypercorn or inside another application.

- ``asgi_app``: makes the application of a ``gateway.embedding.Gateway``.
- ``AsgiAdapter``: the adapter ``asgi``, which takes requests from it instead of listening.
- ``AsgiExchange``: one request and its response.
"""

from __future__ import annotations

from gateway_asgi.application import asgi_app

__all__ = ["asgi_app"]
