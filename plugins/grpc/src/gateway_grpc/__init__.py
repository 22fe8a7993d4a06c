"""gRPC services for Gateway.

``channels`` calls methods of instances, ``descriptors`` knows which methods there are, ``transcoding`` makes calls of
requests with JSON, and answers of what comes back; ``status`` and ``problems`` say what went wrong in both worlds.
"""
