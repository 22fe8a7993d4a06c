"""The one future an exchange waits on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextvars import Context

T = TypeVar("T")

__all__ = ["Waiter"]


@final  # an exchange without a task tells it by its exact class
class Waiter(Generic[T]):
    """A result that arrives once, for connectors: await it in ``open``, set it from a protocol callback.

    In an exchange that runs without a task, setting the result resumes the exchange at once, in the same callback;
    an ``asyncio.Future`` would cost another turn of the event loop. Awaited inside a task it behaves as a future
    does (it implements asyncio's future protocol: ``_asyncio_future_blocking``, ``add_done_callback``, ``get_loop``).

    Awaited once, by one exchange; not thread-safe.
    """

    # One is made per attempt: defaults in the class spare setting them.
    is_done = False
    # Set by an exchange that runs without a task, when it begins to wait.
    resume: Callable[[], None] | None = None
    _callback: Callable[[Any], object] | None = None
    _context: Context | None = None
    _error: BaseException | None = None
    _asyncio_future_blocking = False
    _value: T

    def set_result(self, value: T) -> None:
        """Deliver ``value``; ignored if the waiter is done, as after a cancellation."""
        if not self.is_done:
            self.is_done = True
            self._value = value
            resume = self.resume
            if resume is None:
                self._wake()
            else:
                # Let go of the exchange: a cycle would leave it to the garbage collector.
                self.resume = None
                resume()

    def set_error(self, error: BaseException) -> None:
        """Raise ``error`` where the waiter is awaited; ignored if the waiter is done."""
        if not self.is_done:
            self.is_done = True
            self._error = error
            self._wake()

    def __await__(self) -> Generator[Any, None, T]:
        if not self.is_done:
            self._asyncio_future_blocking = True
            yield self
        if self._error is not None:
            raise self._error
        return self._value

    def result(self) -> T:
        """Return the value or raise the error that was delivered."""
        if self._error is not None:
            raise self._error
        return self._value

    # What asyncio asks of a future.

    def done(self) -> bool:
        """Return whether there is an outcome."""
        return self.is_done

    def remove_done_callback(self, callback: Callable[[Any], object]) -> int:
        """Forget the callback; returns how many were forgotten."""
        was_set, self._callback = self._callback is not None, None
        return int(was_set)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the running loop; a waiter is used on the loop of its exchange only."""
        return asyncio.get_running_loop()

    def add_done_callback(self, callback: Callable[[Any], object], *, context: Context | None = None) -> None:
        """Call ``callback(self)`` from the loop when done; a task registers its wake-up so."""
        self._callback = callback
        self._context = context
        if self.is_done:
            self._wake()

    def cancel(self, msg: str | None = None) -> bool:
        """Deliver ``CancelledError``; returns whether the waiter was still open."""
        if self.is_done:
            return False
        self.set_error(asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg))
        return True

    def _wake(self) -> None:
        resume = self.resume
        if resume is not None:
            self.resume = None
            resume()
        elif self._callback is not None:
            asyncio.get_running_loop().call_soon(self._callback, self, context=self._context)
