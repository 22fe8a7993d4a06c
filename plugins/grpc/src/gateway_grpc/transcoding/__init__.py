"""From HTTP with JSON to calls of gRPC, and back.

``router`` finds the ``binding`` of a request by its path ``template``; ``reading`` makes messages of it, ``unary`` and
``streams`` make the call, and ``writing`` makes JSON of what comes back.
"""
