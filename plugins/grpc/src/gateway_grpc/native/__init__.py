"""gRPC as it is: calls of clients passed on to services over HTTP/2, message by message, in both directions at once.

``calls`` opens them, ``request`` and ``response`` pass on what is sent, ``timer`` sees to deadlines.
"""
