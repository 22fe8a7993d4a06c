"""gRPC-Web: for clients that cannot read trailers, such as browsers; on their side only.

``call`` makes gRPC of a request and gRPC-Web of its answer; ``text`` is the form in base64.
"""
