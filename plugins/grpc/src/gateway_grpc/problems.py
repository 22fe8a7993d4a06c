"""What a client of HTTP is told when a call fails: RFC 9457, with google.rpc.Status in it."""

from __future__ import annotations

import base64
import json
import math
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pool, json_format
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # has no types of its own

from gateway import ErrorType, GatewayError, Headers, Response
from gateway_grpc.status import GrpcStatus, http_status_of, phrase_of

if TYPE_CHECKING:
    from google.protobuf.any_pb2 import Any as AnyMessage
    from google.protobuf.descriptor_pool import DescriptorPool

    from gateway_grpc.channels.channel import CallError

__all__ = ["failure_of", "problem_members", "problem_response", "refusal_members"]

DETAILS = "grpc-status-details-bin"
"""The metadata that carries a ``google.rpc.Status``."""
RETRIABLE = frozenset({429, 503})


def failure_of(error: CallError) -> GatewayError | None:
    """Return the failure of the gateway that ``error`` is; ``None`` if it is what the service answered."""
    if not error.is_local:
        return None
    if error.status is GrpcStatus.DEADLINE_EXCEEDED:
        return GatewayError(ErrorType.UPSTREAM_TIMEOUT, "the service did not answer in time", detail=str(error))
    if error.status is GrpcStatus.RESOURCE_EXHAUSTED:
        if "Sent message larger" in error.message:
            return GatewayError(ErrorType.PAYLOAD_TOO_LARGE, "the message is too large", detail=str(error))
        return GatewayError(ErrorType.BAD_GATEWAY, "the answer of the service is too large", detail=str(error))
    message = "the service cannot be reached" if error.is_unsent else "the connection to the service failed"
    return GatewayError(ErrorType.BAD_GATEWAY, message, detail=str(error), is_unsent=error.is_unsent)


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
        if name == DETAILS and isinstance(value, bytes):
            try:
                return list(status_pb2.Status.FromString(value).details)
            except DecodeError:
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
