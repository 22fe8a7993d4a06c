"""What a client of HTTP is told when a call fails: RFC 9457, with google.rpc.Status in it."""

from __future__ import annotations

import base64
import binascii
import json
import math
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pool, json_format
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # has no types of its own

from gateway import Headers, Response
from gateway_grpc.status import http_status_of, phrase_of

if TYPE_CHECKING:
    from google.protobuf.any_pb2 import Any as AnyMessage
    from google.protobuf.descriptor_pool import DescriptorPool

    from gateway import GatewayError
    from gateway_grpc.channels.channel import CallError

__all__ = ["problem_members", "problem_response", "refusal_members"]

DETAILS = b"grpc-status-details-bin"
"""The metadata that carries a ``google.rpc.Status``."""
RETRIABLE = frozenset({429, 503})


def problem_members(error: CallError, pool: DescriptorPool, request_id: str) -> dict[str, Any]:
    """Return the members of a problem for what the service answered (RFC 9457 section 3)."""
    status = http_status_of(error.status)
    return {
        "type": "about:blank",
        "title": phrase_of(status),
        "status": status,
        "detail": error.message or phrase_of(status),
        "code": error.status.name.lower(),
        "requestId": request_id,
        # google.rpc.Status, and the name of its code.
        "grpc": {
            "code": int(error.status),
            "status": error.status.name,
            "message": error.message,
            "details": [_detail(each, pool) for each in _details(error)],
        },
    }


def refusal_members(error: GatewayError, request_id: str) -> dict[str, Any]:
    """Return the members of a problem for a failure in the middle of a stream, where no status can be sent."""
    return {
        "type": "about:blank",
        "title": phrase_of(error.type.status),
        "status": error.type.status,
        "detail": error.message,
        "code": error.type.code,
        "requestId": request_id,
    }


def problem_response(members: dict[str, Any], pairs: list[tuple[bytes, bytes]] | None = None) -> Response:
    """Return the response for a problem, with further fields."""
    headers = Headers([(b"content-type", b"application/problem+json"), *(pairs or ())])
    if members["status"] in RETRIABLE and "retry-after" not in headers:
        delay_s = _retry_delay_s(members)
        if delay_s is not None:
            headers.set("retry-after", str(delay_s))
    return Response(members["status"], headers=headers, body=json.dumps(members).encode())


def _details(error: CallError) -> list[AnyMessage]:
    for name, value in error.metadata:
        if name == DETAILS:
            try:
                # Padded or not (gRPC over HTTP2, "Binary-Header").
                status = base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
                return list(status_pb2.Status.FromString(status).details)
            except (binascii.Error, DecodeError):
                return []
    return []


def _detail(detail: AnyMessage, pool: DescriptorPool) -> dict[str, Any]:
    """Return a detail as JSON; of a type that nobody knows, as it is."""
    # What everybody may use is not in the descriptors of who only uses it.
    for known in (pool, descriptor_pool.Default()):
        try:
            return dict(json_format.MessageToDict(detail, descriptor_pool=known))
        except (TypeError, ValueError, KeyError, DecodeError):
            continue
    return {"@type": detail.type_url, "value": base64.b64encode(detail.value).decode()}


def _retry_delay_s(members: dict[str, Any]) -> int | None:
    """Return the seconds of a ``google.rpc.RetryInfo``."""
    name = error_details_pb2.RetryInfo.DESCRIPTOR.full_name
    for detail in members.get("grpc", {}).get("details", ()):
        if detail.get("@type", "").endswith(f"/{name}") and "retryDelay" in detail:
            return max(0, math.ceil(float(detail["retryDelay"].removesuffix("s"))))
    return None
