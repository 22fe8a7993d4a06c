"""HTTP/2 (RFC 9113) and HPACK (RFC 7541) without input or output, for both ends of a connection.

Bytes go in by ``Connection.receive``, bytes come out of ``Connection.take_output``, and what happened is told by calls
to the owner and to its streams. Nothing here knows sockets, event loops, time or HTTP's meaning: whoever owns a
connection sends the bytes, watches deadlines and says what a header block means.

```
transport ─receive(data)─▶ Connection ─▶ Owner.open_stream(id)               a stream of the peer's begins
                               │  ─▶ Stream.headers_received(block, is_end)   request, response, interim or trailers
                               │  ─▶ Stream.data_received(data, is_end)       is followed by Connection.acknowledge(…)
                               │  ─▶ Stream.reset_received(code)              also for what a GOAWAY left out
                               │  ─▶ Stream.sending_blocked() / sending_open()   back-pressure for what is sent
                               │  ─▶ Owner.settings_received() / ping_acknowledged() / goaway_received() / failed()
transport ◀─take_output()─── Connection ◀─ send_headers / send_data / reset / acknowledge / ping / shut_down
```

- ``Owner.output_ready()`` is called once when output begins to wait; the owner then takes it, at the end of its turn.
- ``Stream`` is subclassed by the owner: one object is both the state of the stream and what the owner does with it.
  A server makes it in ``open_stream``; a client makes it itself and opens it with ``Connection.open(stream)``.
- A stream is forgotten when both of its sides ended or either side reset it; nothing is called on it afterwards.
- ``send_data`` takes everything at once and keeps what the windows do not allow yet: ``sending_blocked`` asks the owner
  to stop, ``sending_open`` to go on. Streams that wait for the connection's window take turns.
- What is received counts against both windows until ``acknowledge`` returns it: back-pressure is not acknowledging.
- A fault of the peer is a ``StreamFault`` (RST_STREAM, ``Stream.reset_received``) or a ``ConnectionFault`` (GOAWAY,
  ``Owner.failed``, after which everything received is ignored). They never come out of ``receive``. The owner may raise
  ``StreamFault`` from ``headers_received`` and ``data_received`` for a message that is malformed.
- Header blocks are ``HeaderBlock`` objects. The same bytes give the same object as long as HPACK's state allows, so
  what the owner derives from one can be kept in ``HeaderBlock.meaning``: that spares most of the work for a client
  that repeats itself.
- ``encoder.encode(pairs)`` makes what ``send_headers`` sends; calls must be in the order of sending.
"""

from __future__ import annotations

from gateway_http2.engine.codes import ErrorCode, Setting
from gateway_http2.engine.connection import Connection
from gateway_http2.engine.decoder import HeaderBlock
from gateway_http2.engine.encoder import literal
from gateway_http2.engine.faults import ConnectionFault, StreamFault
from gateway_http2.engine.limits import Limits
from gateway_http2.engine.owner import Owner
from gateway_http2.engine.sending import PREFACE
from gateway_http2.engine.stream import Stream

__all__ = [
    "PREFACE",
    "Connection",
    "ConnectionFault",
    "ErrorCode",
    "HeaderBlock",
    "Limits",
    "Owner",
    "Setting",
    "Stream",
    "StreamFault",
    "literal",
]
