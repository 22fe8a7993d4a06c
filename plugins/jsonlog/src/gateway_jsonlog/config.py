"""The block ``plugins.jsonlog``."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gateway import Config, Duration, Size
from gateway_jsonlog.json_format import FIELD_NAMES

__all__ = ["AccessLogConfig"]

SECRET_HEADERS = ("authorization", "cookie", "proxy-authorization", "set-cookie", "x-api-key", "x-auth-token")
SECRET_PARAMETERS = (
    *("access_token", "api-key", "api_key", "apikey", "auth", "client_secret", "code", "id_token", "key", "password"),
    *("refresh_token", "secret", "sig", "signature", "state", "token", "x-amz-security-token", "x-amz-signature"),
)
"""What the OAuth 2.0 RFCs, RFC 6750 section 2.3 and signed URLs put into queries."""

Name = Annotated[str, Field(min_length=1), AfterValidator(str.lower)]
Ratio = Annotated[float, Field(ge=0.0, le=1.0)]


class AccessLogConfig(Config):
    """An access log: a line for each request."""

    format: Literal["json", "combined"] = Field(
        default="json", description="`json`, or `combined` as Apache and nginx have it."
    )
    output: Annotated[str, Field(min_length=1)] = Field(
        default="stdout",
        description="`stdout`, `stderr` or a file, which is appended to and opened anew when it was moved away.",
    )
    sample: Ratio = Field(
        default=1.0, description="The share of requests that get a line; what failed or was slow gets one always."
    )
    keep_status: int = Field(
        default=500, ge=100, le=600, description="Answers with this status or a higher one always get a line."
    )
    keep_slower_than: Duration | None = Field(
        default=None, description="Requests that took longer always get a line; without it none does for that."
    )
    exclude_routes: frozenset[str] = Field(
        default=frozenset(), description="Ids of routes whose requests get no line, whatever becomes of them."
    )
    query: Literal["omit", "redact"] = Field(
        default="omit", description="Queries are left out, or written without the values of `redactQuery`."
    )
    redact_query: frozenset[Name] = Field(
        default=frozenset(SECRET_PARAMETERS), description="Query parameters whose values become `***`."
    )
    request_headers: tuple[Name, ...] = Field(
        default=(), description="Request fields to write; for `json`.", max_length=32
    )
    response_headers: tuple[Name, ...] = Field(
        default=(), description="Response fields to write; for `json`.", max_length=32
    )
    redact_headers: frozenset[Name] = Field(
        default=frozenset(SECRET_HEADERS), description="Fields of which only `***` is written."
    )
    fields: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="Values to put on every line, such as `environment: production`; for `json`."
    )
    flush_interval: Duration = Field(default=0.5, description="Seconds after which lines are written.", gt=0, le=60)
    flush_bytes: Size = Field(default=262144, description="Bytes of lines that are written at once.", gt=0)
    buffer_bytes: Size = Field(
        default=8 * 1024 * 1024,
        description="Bytes of lines that may wait for the disk; what comes beyond is dropped and counted.",
    )

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.buffer_bytes < 2 * self.flush_bytes:
            msg = f"bufferBytes {self.buffer_bytes} must be twice flushBytes {self.flush_bytes} or more; raise it"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        if self.format == "combined" and (self.request_headers or self.response_headers or self.fields):
            msg = "the combined format has no place for requestHeaders, responseHeaders and fields; use format: json"
            raise ValueError(msg)
        taken = sorted(FIELD_NAMES & self.fields.keys())
        if taken:
            msg = f"fields: {', '.join(taken)} is a field of every line already; take another name"
            raise ValueError(msg)
        return self
