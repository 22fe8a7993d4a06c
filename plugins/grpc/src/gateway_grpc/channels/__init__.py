"""Calls of methods of instances.

``channel`` says what a call is, whoever makes it; ``grpcio`` makes them with grpcio; ``pool`` keeps the connections.
"""
