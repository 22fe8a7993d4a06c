"""One request of an ASGI server and its response.

```
receive ──▶ Body ──▶ service          one task reads, and learns that the client is gone
send    ◀── Body ◀── service          the application's own task writes, as fast as the server takes it
```
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway import Body, ErrorType, Exchange, GatewayError
from gateway.semantics import NO_CONTENT
from gateway_asgi.fields import response_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway import Request, Response
    from gateway_asgi.config import AsgiConfig
    from gateway_asgi.protocol import Message, Receive, Send

__all__ = ["AsgiExchange"]

GRACE_S = 1.0
"""How long the reading of a request may take to end when it is cancelled."""


class AsgiExchange:
    """Implements ``Responder`` for the gateway and ``BodyProducer`` for the body of the request.

    Args:
        request: The request, without its body.
        receive: ASGI's.
        send: ASGI's.
        config: The block.

    Attributes:
        exchange: What the gateway answers.
    """

    def __init__(self, request: Request, receive: Receive, send: Send, config: AsgiConfig) -> None:
        self.exchange = Exchange(request, self)
        self._receive = receive
        self._send = send
        self._config = config
        self._upload: Body | None = None
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._answer: asyncio.Future[Response | None] = asyncio.get_running_loop().create_future()
        self._download: Body | None = None
        self._sent_bytes = 0
        self._is_gone = False
        self._task: asyncio.Task[object] | None = None

    def begin(self, first: Message, content_length: int | None) -> GatewayError | None:
        """Take the first message of the request; returns why it is refused, if it is.

        Args:
            first: The message.
            content_length: How long the body says it is; ``None`` if it does not.
        """
        request, max_bytes = self.exchange.request, self._config.max_request_size
        content = bytes(first.get("body", b""))
        if not first.get("more_body", False):
            if max_bytes and len(content) > max_bytes:
                return GatewayError(ErrorType.PAYLOAD_TOO_LARGE, f"the body is larger than {max_bytes} bytes")
            request.body = content
            return None
        self._upload = Body(self, content_length)
        try:
            if max_bytes:
                self._upload.limit(max_bytes)
        except GatewayError as error:
            return error
        request.body = self._upload
        self._upload.feed(content)
        return None

    async def run(self, serve: Callable[[], None]) -> None:
        """Have it answered by ``serve``, and send the answer.

        Raises:
            Exception: If the answer broke off, so that the server closes the connection; what broke it off.
        """
        self._task = asyncio.current_task()
        reading = asyncio.get_running_loop().create_task(self._read())
        error: BaseException | None = None
        try:
            serve()
            response = await self._answer
            if response is not None:
                await self._send_all(response)
        except BaseException as caught:
            error = caught
            if not self._is_gone:
                raise
        finally:
            reading.cancel()
            await asyncio.wait([reading], timeout=GRACE_S)
            # Whoever cancels the task cancels what it waits for, too.
            if not self._answer.done() or self._answer.cancelled():
                self._answer.cancel()
                self.exchange.cancel()
            if self._upload is not None:
                self._upload.fail(_gone())
            self.exchange.finish(self._sent_bytes, error or (_gone() if self._is_gone else None))

    def cut(self) -> None:
        """Break it off."""
        if self._task is not None:
            self._task.cancel()

    # What the client sends.

    async def _read(self) -> None:
        """Read the body, then wait until the client is gone."""
        body = self._upload
        while body is not None and not body.is_complete:
            await self._may_read.wait()
            try:
                async with asyncio.timeout(self._config.read_timeout):
                    message = await self._receive()
            except TimeoutError:
                # The service's side sees it, and so the client is answered 408; whatever else comes is dropped.
                body.fail(GatewayError(ErrorType.TIMEOUT, "the request did not arrive in time"))
                return
            if message["type"] == "http.disconnect":
                self._lose()
                return
            # Of a body that was given up this goes nowhere, and the client is still heard.
            body.feed(bytes(message.get("body", b"")))
            if body.is_over:
                await asyncio.sleep(0)  # nothing holds back a server that has it all at hand
            if not message.get("more_body", False):
                body.end()
                break
        while (await self._receive())["type"] != "http.disconnect":
            pass  # whatever else a server has to say
        self._lose()

    def _lose(self) -> None:
        """The client is gone."""
        self._is_gone = True
        if self._upload is not None:
            self._upload.fail(_gone())
        if not self._answer.done():
            self.exchange.cancel()
            self._answer.set_result(None)
        elif self._download is not None:
            self._download.abort()

    # gateway.interfaces.BodyProducer: what the service wants of it.

    def pause_body(self) -> None:
        """Read no more for now."""
        self._may_read.clear()

    def resume_body(self) -> None:
        """Read on."""
        self._may_read.set()

    def abort_body(self) -> None:
        """Nobody wants the rest: it is read and dropped, to hear of the client."""
        self._may_read.set()

    # gateway.interfaces.Responder

    def respond(self, exchange: Exchange, response: Response) -> None:
        """Take the answer; the application's task sends it."""
        if self._answer.done():
            response.discard()
        else:
            self._answer.set_result(response)

    def inform(self, exchange: Exchange, status: int, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """Ignore an interim response: ASGI has none."""

    async def _send_all(self, response: Response) -> None:
        request, body = self.exchange.request, response.body
        if response.tunnel is not None:
            response.discard()
            msg = "a change of protocol was answered, which ASGI cannot pass on"
            raise RuntimeError(msg)
        fields = response_fields(request, response, passes_date=self._config.pass_date)
        await self._write({"type": "http.response.start", "status": response.status, "headers": fields})
        if request.method == "HEAD" or response.status in NO_CONTENT:
            response.discard()
            await self._write({"type": "http.response.body", "body": b""})
        elif isinstance(body, bytes):
            self._sent_bytes = len(body)
            await self._write({"type": "http.response.body", "body": body})
        else:
            await self._stream(body)

    async def _stream(self, body: Body) -> None:
        """Send a body as fast as the server takes it: the next piece is asked for when it has taken this one."""
        self._download = body
        try:
            async for chunk in body:
                self._sent_bytes += len(chunk)
                await self._write({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            body.abort()
        await self._write({"type": "http.response.body", "body": b""})

    async def _write(self, message: Message) -> None:
        async with asyncio.timeout(self._config.write_timeout):
            await self._send(message)


def _gone() -> ConnectionError:
    return ConnectionResetError("the client is gone")


if TYPE_CHECKING:
    from gateway.interfaces import BodyProducer, Responder

    _responder: type[Responder] = AsgiExchange
    _producer: type[BodyProducer] = AsgiExchange
