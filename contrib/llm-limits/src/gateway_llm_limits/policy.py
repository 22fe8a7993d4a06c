"""The policy ``llm-limits``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway import Body, ErrorType, GatewayError
from gateway_llm_limits.charge import NAME, AppliedLimit, Charge, Debts
from gateway_llm_limits.metered import MeteredBody
from gateway_llm_limits.meters import JsonMeter, StreamMeter
from gateway_llm_limits.usage import Question, Usage, read_question, tokens_in

if TYPE_CHECKING:
    from gateway import BuildContext, Exchange, Handler, Request, Response, Route
    from gateway_llm_limits.config import LlmLimitsConfig
    from gateway_llm_limits.meters import Meter

__all__ = ["LlmLimits"]

FIRST_FAILURE = 400
LARGE_BYTES = 65_536
"""From here on reading JSON takes a millisecond, and is done in a thread."""
MAX_MODELS = 64
MAX_MODEL_LENGTH = 64
OTHER = "other"


class LlmLimits:
    """Takes an estimate from the quotas of a request, lets it pass, and settles when the answer says what it was.

    Args:
        config: The block.
        context: The gateway.
    """

    def __init__(self, config: LlmLimitsConfig, context: BuildContext) -> None:
        self._config = config
        self._limits = [
            AppliedLimit(number, limit, quota)
            for number, limit in enumerate(config.limits)
            for quota in context.quotas(config.limiter, limit.settings())
        ]
        self._debts = Debts(context.logger)
        context.background.start("charges", self._debts.run)
        self._models: set[str] = context.keep("models", set)
        metrics = context.metrics
        self._tokens = metrics.counter(
            "gateway_llm_tokens_total", "Tokens that models read and wrote.", ("direction", "model")
        )
        self._refused = metrics.counter(
            "gateway_llm_refused_total", "Requests that had not enough tokens left.", ("route",)
        )
        self._guessed = metrics.counter(
            "gateway_llm_estimated_total", "Answers that did not say how many tokens they were.", ("route",)
        )
        self._cut = metrics.counter(
            "gateway_llm_streams_cut_total", "Streams that were cut for using more than was left.", ("route",)
        )

    def wrap(self, call_next: Handler, route: Route) -> Handler:
        """Return the handler that counts."""

        async def count(exchange: Exchange) -> Response:
            request = exchange.request
            if request.method != "POST" or request.upgrade is not None:
                return await call_next(exchange)
            question = await self._read(request)
            counting = _Counting(self, exchange, question)
            await counting.begin()
            # An answer that is packed could not be read.
            request.headers.set("accept-encoding", "identity")
            try:
                response = await call_next(exchange)
            except GatewayError:
                # It was not answered by a model. Who merely went away has asked one, and pays the estimate.
                counting.charge.give_back()
                raise
            return counting.watch(response)

        return count

    async def _read(self, request: Request) -> Question:
        """Return what a request asks, and leave its body in it.

        Raises:
            GatewayError: ``payload_too_large`` if it is larger than what is read.
        """
        limit = self._config.max_body_size
        body = request.body
        if isinstance(body, Body):
            content = await body.read(limit)
            request.body = body.replay(content)
        elif len(body) > limit:
            raise GatewayError(ErrorType.PAYLOAD_TOO_LARGE, f"the body is larger than {limit} bytes", plugin=NAME)
        else:
            content = body
        if len(content) > LARGE_BYTES:
            return await asyncio.to_thread(read_question, content)
        return read_question(content)

    # Of one exchange.

    def limits_for(self, model: str) -> list[AppliedLimit]:
        """Return the limits of a model."""
        return [applied for applied in self._limits if applied.limit.applies_to(model)]

    def estimate(self, letters: int) -> int:
        """Return how many tokens a text may be."""
        return tokens_in(letters, self._config.chars_per_token)

    def reserve(self, question: Question) -> int:
        """Return how many tokens of output are taken beforehand."""
        most = self._config.reserve_output
        return most if question.max_output is None else min(most, question.max_output)

    def meter_for(self, content_type: str, counting: _Counting) -> Meter:
        """Return what reads an answer."""
        if content_type.partition(";")[0].strip().lower() == "text/event-stream":
            return StreamMeter(counting.grown) if self._config.cut_streams else StreamMeter()
        return JsonMeter(self._config.max_answer_size)

    def note(self, model: str, read: int, written: int, route: str, *, is_guessed: bool) -> None:
        """Count what a model read and wrote."""
        if len(self._models) < MAX_MODELS and 0 < len(model) <= MAX_MODEL_LENGTH:
            # Only a model that has answered: strangers can ask for any.
            self._models.add(model)
        label = model if model in self._models else OTHER
        self._tokens.labels("input", label).add(read)
        self._tokens.labels("output", label).add(written)
        if is_guessed:
            self._guessed.labels(route).add()

    def note_refusal(self, route: str) -> None:
        """Count a request that had not enough left."""
        self._refused.labels(route).add()

    def note_cut(self, route: str) -> None:
        """Count a stream that was cut."""
        self._cut.labels(route).add()

    def new_charge(self) -> Charge:
        """Return what takes from quotas."""
        return Charge(self._debts)


class _Counting:
    """One request and its tokens.

    Args:
        limits: The policy.
        exchange: The request.
        question: What it asks.
    """

    def __init__(self, limits: LlmLimits, exchange: Exchange, question: Question) -> None:
        self.charge = limits.new_charge()
        self._limits = limits
        self._exchange = exchange
        self._question = question
        self._read = limits.estimate(question.letters)
        self._body: MeteredBody | None = None

    async def begin(self) -> None:
        """Take an estimate.

        Raises:
            RateLimited: If there is not so much.
        """
        model = self._question.model
        written = self._limits.reserve(self._question)
        try:
            await self.charge.take(self._limits.limits_for(model), self._exchange, model, self._read, written)
        except GatewayError:
            self._limits.note_refusal(self._exchange.route.id)
            raise

    def watch(self, response: Response) -> Response:
        """Return the answer, which settles the charge when it is over."""
        for name, value in self.charge.fields:
            response.headers.set(name.decode(), value.decode())
        if response.status >= FIRST_FAILURE or response.tunnel is not None:
            self.charge.give_back()
            return response
        meter = self._limits.meter_for(response.headers.get("content-type") or "", self)
        if isinstance(response.body, bytes):
            meter.feed(response.body)
            self._settle(*meter.finish())
            return response
        self._body = MeteredBody(response.body, meter, lambda: self._settle(*meter.finish()))
        self._body.start()
        response.body = self._body.copy
        return response

    def grown(self, letters: int, usage: Usage) -> None:
        """Cut a stream that goes beyond what was left."""
        written = max(self._limits.estimate(letters), usage.output or 0)
        if self._body is not None and self.charge.is_exceeded(usage.input or self._read, written):
            self._limits.note_cut(self._exchange.route.id)
            self._body.cut(GatewayError(ErrorType.RATE_LIMIT, "the token limit is used up", plugin=NAME))

    def _settle(self, usage: Usage, letters: int) -> None:
        is_guessed = usage.output is None
        read = self._read if usage.input is None else usage.input
        written = self._limits.estimate(letters) if usage.output is None else usage.output
        self._limits.note(self._question.model, read, written, self._exchange.route.id, is_guessed=is_guessed)
        self.charge.settle(read, written)


if TYPE_CHECKING:
    from gateway.interfaces import Policy

    _: type[Policy] = LlmLimits
