"""The gateway as an ASGI application: ``uvicorn asgi_application:app``."""

from gateway.embedding import Gateway
from gateway_asgi import asgi_app

app = asgi_app(Gateway.from_file("gateway.yaml"))
