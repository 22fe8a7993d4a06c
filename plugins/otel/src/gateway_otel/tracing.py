"""Records requests as spans. An observer of the gateway.

What is not recorded must cost next to nothing: the decision is made before anything is allocated, and only requests
that are recorded have a ``Trace``.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gateway_otel.context import (
    BAGGAGE,
    SAMPLED,
    TRACEPARENT,
    TRACESTATE,
    Ids,
    Sampler,
    parse_traceparent,
)
from gateway_otel.semantics import (
    attempt_attributes,
    attempt_error,
    error_type,
    exchange_attributes,
    exchange_error,
    method_of,
    route_of,
)
from gateway_otel.spans import CLIENT, ERROR, INTERNAL, SERVER, UNSET, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from gateway import Exchange, Handler, Response, Route, Section, Stage
    from gateway.interfaces import AttemptRecord, Observer
    from gateway_otel.config import TracingConfig

__all__ = ["Trace", "Tracing"]

_ONLY_TRACEPARENT = frozenset({TRACEPARENT})


class Trace:
    """The part of a trace that one request is.

    Attributes:
        trace_id: In hexadecimal.
        parent_id: The client's span; empty if it sent none.
        span_id: The server span.
        attempt_id: The span of the next attempt, which the service is told.
        innermost_id: The span that surrounds what happens now.
        trace_state: The ``tracestate`` field.
        flags: Those that services are told.
        start_ns: When it began, in nanoseconds since 1970.
    """

    __slots__ = (
        "attempt_id",
        "flags",
        "innermost_id",
        "parent_id",
        "span_id",
        "start_ns",
        "trace_id",
        "trace_state",
    )

    def __init__(
        self, *, trace_id: bytes, parent_id: bytes, span_id: bytes, attempt_id: bytes, trace_state: str, flags: int
    ) -> None:
        self.trace_id = trace_id
        self.parent_id = parent_id
        self.span_id = self.innermost_id = span_id
        self.attempt_id = attempt_id
        self.trace_state = trace_state
        self.flags = flags
        self.start_ns = time.time_ns()


class Tracing:
    """Observes.

    Args:
        config: The block ``tracing``.
        add: Takes spans that are over.

    Attributes:
        by_request_id: The traces of requests that are under way, for whoever logs about one of them.
    """

    def __init__(self, config: TracingConfig, add: Callable[[Span], None]) -> None:
        self._add = add
        self._sampler = Sampler(config.sampler, config.sample_rate)
        self._drops_baggage = "baggage" not in config.propagation
        self._names = frozenset({TRACEPARENT, TRACESTATE} | ({BAGGAGE} if self._drops_baggage else set()))
        self._ids = Ids()
        self._new_traces = self._ids.new_traces(self._sampler.bound)
        self._traces: dict[Exchange, Trace] = {}
        # Whether it is recorded, without a frame for the answer.
        self.wants_attempts: Callable[[Exchange], bool] = self._traces.__contains__
        self.by_request_id: dict[str, Trace] = {}
        if config.spans_per_policy:
            self.around_policy = self._around_policy

    # gateway.interfaces.Observer

    def exchange_started(self, exchange: Exchange) -> bool:
        """Take the client's context up, or begin a trace; return whether it is recorded."""
        headers = exchange.request.headers
        section = headers.section
        if section is None or headers.lines or not (self in section.memo or self._brings_nothing(section)):
            return self._take_up(exchange)
        line = next(self._new_traces)
        if line is None:
            return self._record_anew(exchange)
        # As extend_lines would; this stands before nearly every request.
        headers.lines, headers.line_names = line, _ONLY_TRACEPARENT
        return False

    def _brings_nothing(self, section: Section) -> bool:
        """Tell whether requests with these fields bring no context; that is kept, so it is asked once."""
        if section.among(self._names):
            return False
        section.keep(self, value=True)
        return True

    def _take_up(self, exchange: Exchange) -> bool:
        """Begin with what the client sent; return whether it is recorded."""
        pairs = exchange.request.headers.pairs
        sent = None
        has_state = False
        for name, value in pairs:
            if name == TRACEPARENT:
                # Twice is not valid (section 3.2).
                sent = value if sent is None else b""
            elif name == TRACESTATE:
                has_state = True
        if self._drops_baggage:
            pairs[:] = [pair for pair in pairs if pair[0] != BAGGAGE]
        parent = parse_traceparent(sent) if sent is not None else None
        if parent is None:
            if sent is not None or has_state:
                # Without a context that is valid, its state means nothing (section 3.3).
                pairs[:] = [pair for pair in pairs if pair[0] not in (TRACEPARENT, TRACESTATE)]
            line = next(self._new_traces)
            if line is None:
                return self._record_anew(exchange)
            exchange.request.headers.extend_lines(_ONLY_TRACEPARENT, line)
            return False
        trace_id, parent_id, flags = parent
        if self._sampler.is_sampled(trace_id, flags):
            self._begin(exchange, trace_id, parent_id, flags | SAMPLED)
            return True
        if flags & SAMPLED:
            # Decided otherwise than the client did; services go by it. The span they are below is the client's.
            _replace(pairs, b"00-%b-%b-%02x" % (trace_id, parent_id, flags & ~SAMPLED))
        return False

    def attempt_finished(self, exchange: Exchange, attempt: AttemptRecord) -> None:
        """Record an attempt."""
        trace = self._traces.get(exchange)
        if trace is None:
            return
        end_ns = time.time_ns()
        attributes = attempt_attributes(exchange, attempt)
        failure = attempt_error(attempt)
        if failure:
            attributes.append(("error.type", failure))
        self._add(
            Span(
                name=method_of(exchange.request.method),
                kind=CLIENT,
                trace_id=trace.trace_id,
                span_id=trace.attempt_id,
                parent_id=trace.innermost_id,
                start_ns=end_ns - int(attempt.duration_s * 1e9),
                end_ns=end_ns,
                attributes=attributes,
                status=ERROR if failure else UNSET,
                trace_state=trace.trace_state,
            )
        )
        # There may be another attempt, which is another span.
        trace.attempt_id = self._ids.span_id()
        self._tell(exchange, trace)

    def exchange_finished(self, exchange: Exchange) -> None:
        """Record the request."""
        trace = self._traces.pop(exchange, None)
        if trace is None:
            return
        if self.by_request_id.get(exchange.request.id) is trace:
            del self.by_request_id[exchange.request.id]
        attributes = exchange_attributes(exchange)
        failure = exchange_error(exchange)
        if failure:
            attributes.append(("error.type", failure))
        method, route = method_of(exchange.request.method), route_of(exchange)
        self._add(
            Span(
                name=f"{method} {route}" if route else method,
                kind=SERVER,
                trace_id=trace.trace_id,
                span_id=trace.span_id,
                parent_id=trace.parent_id,
                start_ns=trace.start_ns,
                end_ns=trace.start_ns + int(exchange.duration_s * 1e9),
                attributes=attributes,
                status=ERROR if failure else UNSET,
                trace_state=trace.trace_state,
                is_parent_remote=bool(trace.parent_id),
            )
        )

    def _around_policy(self, name: str, stage: Stage, handler: Handler, route: Route) -> Handler:
        """Return the handler that records a policy, with everything further in."""
        attributes = (("gateway.policy", name), ("gateway.stage", stage.name.lower()), ("gateway.route", route.id))

        async def recorded(exchange: Exchange, trace: Trace) -> Response:
            outside, span_id = trace.innermost_id, self._ids.span_id()
            start_ns = time.time_ns()
            trace.innermost_id = span_id
            failure = ""
            try:
                return await handler(exchange)
            except BaseException as error:
                failure = error_type(None, error)
                raise
            finally:
                trace.innermost_id = outside
                self._add(
                    Span(
                        name=f"policy {name}",
                        kind=INTERNAL,
                        trace_id=trace.trace_id,
                        span_id=span_id,
                        parent_id=outside,
                        start_ns=start_ns,
                        end_ns=time.time_ns(),
                        attributes=(*attributes, ("error.type", failure)) if failure else attributes,
                        status=ERROR if failure else UNSET,
                        trace_state=trace.trace_state,
                    )
                )

        def around(exchange: Exchange) -> Coroutine[Any, Any, Response]:
            trace = self._traces.get(exchange)
            return handler(exchange) if trace is None else recorded(exchange, trace)

        return around

    def _record_anew(self, exchange: Exchange) -> bool:
        """Begin a trace that is recorded."""
        self._begin(exchange, self._ids.trace_id(self._sampler.bound), b"", SAMPLED)
        return True

    def _begin(self, exchange: Exchange, trace_id: bytes, parent_id: bytes, flags: int) -> None:
        state = exchange.request.headers.get_all("tracestate") if parent_id else ()
        trace = Trace(
            trace_id=trace_id,
            parent_id=parent_id,
            span_id=self._ids.span_id(),
            attempt_id=self._ids.span_id(),
            trace_state=",".join(state),
            flags=flags,
        )
        self._traces[exchange] = self.by_request_id[exchange.request.id] = trace
        self._tell(exchange, trace)

    def _tell(self, exchange: Exchange, trace: Trace) -> None:
        """Put the context of the next attempt among the fields of the request."""
        value = b"00-%b-%b-%02x" % (trace.trace_id, trace.attempt_id, trace.flags)
        _replace(exchange.request.headers.pairs, value)


def _replace(pairs: list[tuple[bytes, bytes]], traceparent: bytes) -> None:
    for position, (name, _) in enumerate(pairs):
        if name == TRACEPARENT:
            pairs[position] = (TRACEPARENT, traceparent)
            return
    pairs.append((TRACEPARENT, traceparent))


if TYPE_CHECKING:
    _: type[Observer] = Tracing
