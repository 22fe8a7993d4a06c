"""Services that do not do as they should: 502, 504 or a cut connection, and nothing of the inside gets out."""

import asyncio
import logging
import re
import socket
import struct

import pytest

from gateway import Endpoint

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: 3\r\n\r\nabc"
OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\ncontent-length: 2\r\n\r\nok"


class Saying:
    """A service's part: read a head, say something, and wait for the gateway to close."""

    def __init__(self, answer):
        self.answer = answer
        self.was_asked = False

    async def __call__(self, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        self.was_asked = True
        writer.write(self.answer)
        await reader.read()


def reset(writer):
    """Cut a connection so that the other side gets a reset."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def assert_tells_nothing(answer, service):
    text = answer.body.decode()
    assert "127.0.0.1" not in text
    assert str(service.address[1]) not in text
    assert not re.search("Error|Exception|Traceback|h11|httptools|instance", text)


MALFORMED = {
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00",
    "text": b"hello\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/0.9": b"<html>hello</html>",
    "HTTP/2": b"HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "HTTP/0.9 by name": b"HTTP/0.9 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "lower-case version": b"http/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "short status": b"HTTP/1.1 20 OK\r\n\r\n",
    "long status": b"HTTP/1.1 2000 OK\r\n\r\n",
    "status below 100": b"HTTP/1.1 099 OK\r\ncontent-length: 0\r\n\r\n",
    "two spaces": b"HTTP/1.1  200 OK\r\ncontent-length: 0\r\n\r\n",
    "tab": b"HTTP/1.1\t200 OK\r\ncontent-length: 0\r\n\r\n",
    "control character in the reason": b"HTTP/1.1 200 O\0K\r\ncontent-length: 0\r\n\r\n",
    "CR in the reason": b"HTTP/1.1 200 O\rK\r\ncontent-length: 0\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\ncontent-length: 0\n\n",
    "LF after the status line": b"HTTP/1.1 200 OK\ncontent-length: 0\r\n\r\n",
    "LF after a field": b"HTTP/1.1 200 OK\r\na: b\ncontent-length: 0\r\n\r\n",
    "empty line first": b"\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    "length with coding": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding with length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nokk",
    "two equal lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
    "list of lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nok",
    "negative length": b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok",
    "signed length": b"HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok",
    "hexadecimal length": b"HTTP/1.1 200 OK\r\ncontent-length: 0x2\r\n\r\nok",
    "huge length": b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nok",
    "no length": b"HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\nok",
    "gzip coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "identity coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
    "two codings": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "folded field": b"HTTP/1.1 200 OK\r\na: b\r\n c\r\ncontent-length: 0\r\n\r\n",
    "space before the colon": b"HTTP/1.1 200 OK\r\na : b\r\ncontent-length: 0\r\n\r\n",
    "space before the first field": b"HTTP/1.1 200 OK\r\n a: b\r\ncontent-length: 0\r\n\r\n",
    "no colon": b"HTTP/1.1 200 OK\r\nab\r\ncontent-length: 0\r\n\r\n",
    "no name": b"HTTP/1.1 200 OK\r\n: b\r\ncontent-length: 0\r\n\r\n",
    "NUL in a value": b"HTTP/1.1 200 OK\r\na: b\0c\r\ncontent-length: 0\r\n\r\n",
    "CR in a value": b"HTTP/1.1 200 OK\r\na: b\rc\r\ncontent-length: 0\r\n\r\n",
    "malformed interim answer": b"HTTP/1.1 103 Early\r\na : b\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    "bad chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "switching unasked": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
}


@pytest.mark.parametrize("answer", MALFORMED.values(), ids=MALFORMED.keys())
@pytest.mark.parametrize("request_bytes", [GET, POST], ids=["GET", "POST"])
async def test_a_malformed_answer_is_a_bad_gateway(gateway, service, eventually, answer, request_bytes):
    service.talk = Saying(answer)
    client = await gateway.connect()
    received = await client.ask(request_bytes)
    assert received.status == 502
    assert_tells_nothing(received, service)
    await eventually(lambda: not service.open)
    service.talk = Saying(OK)
    assert (await client.ask(GET)).body == b"ok"
    assert len(service.connections) == 2


@pytest.mark.parametrize("answer", MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_malformed_answer_byte_by_byte(gateway, service, answer):
    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        for number in range(len(answer)):
            writer.write(answer[number : number + 1])
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        writer.close()  # what never was refused ends, so that nothing waits for more

    service.talk = talk
    client = await gateway.connect()
    await client.send(GET)
    try:
        assert (await client.receive()).status == 502
    except EOFError:
        assert b"chunked" in answer


@pytest.mark.parametrize(
    "chunks",
    [
        *(
            b"5\r\nhelloX",
            b"5\r\nhello\r\nxyz\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"5\r\nhello\r\n0x1\r\n",
            b"5\r\nhello\r\n-1\r\n",
        ),
        *(
            b"5\r\nhello\r\n 1\r\n",
            b"5\r\nhello\r\n1 \r\n",
            b"5\r\nhello\r\nfffffffffffffffff\r\n",
            b"5\r\nhello\r\n;\r\n",
        ),
        *(b"5\r\nhello\r\n1;" + b"a" * 2000 + b"\r\n", b"5\r\nhello\r\n1;a=\r\n", b"5\r\nhello\r\n0\r\na : b\r\n\r\n"),
        *(
            b"5\r\nhello\r\n0\r\nTransfer-Encoding: x\r\nContent-Length: 3\r\n\r\n",
            b"5\r\nhello\r\n0\r\n" + b"a: b\r\n" * 20000,
        ),
    ],
)
async def test_bad_chunks_in_mid_body_cut_the_connection(gateway, service, eventually, chunks):
    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await asyncio.sleep(0.01)
        writer.write(chunks[:10])
        await asyncio.sleep(0.01)
        writer.write(chunks[10:])
        await reader.read()

    service.talk = talk
    client = await gateway.connect()
    await client.send(GET)
    with pytest.raises(EOFError):
        await client.receive()
    await eventually(lambda: not service.open)
    await eventually(lambda: not gateway.plane.in_flight())


# Too much.


@pytest.mark.parametrize(
    "endless",
    [
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20000,
        b"HTTP/1.1 200 OK\r\na: " + b"b" * 100_000,
        b"HTTP/1.1 200 " + b"K" * 100_000,
    ],
)
async def test_a_head_without_end_is_a_bad_gateway(gateway, service, endless):
    service.talk = Saying(endless)
    assert (await gateway.ask(GET)).status == 502


async def test_a_large_head_passes_up_to_the_limit(start_gateway, service):
    gateway = await start_gateway(service, backend={"maxResponseHeaderBytes": 1000})
    for size, status in ((900, 200), (1000, 502)):
        service.talk = Saying(OK.replace(b"content-length", b"a: " + b"b" * size + b"\r\ncontent-length"))
        assert (await gateway.ask(GET)).status == status


async def test_interim_answers_without_end_are_a_bad_gateway(gateway, service):
    service.talk = Saying(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)
    client = await gateway.connect()
    await client.send(GET)
    answer = await client.receive()
    assert answer.status == 502
    assert len(answer.interim) == 16


async def test_a_second_answer_is_never_delivered(gateway, service):
    # What a split response looks like (RFC 9112 section 11.1).
    evil = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"
    for answer in (
        OK.replace(b"Connection: close\r\n", b"") + evil,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + evil,
        b"HTTP/1.1 204 No Content\r\n\r\n" + evil,
        b"HTTP/1.1 204 No Content\r\ncontent-length: 43\r\n\r\n" + evil,
        b"HTTP/1.1 304 Not Modified\r\n\r\n" + evil,
    ):
        service.talk = Saying(answer)
        client = await gateway.connect()
        assert (await client.ask(GET)).body in (b"ok", b"")
        service.talk = Saying(OK)
        assert (await client.ask(GET)).body == b"ok"


async def test_a_second_answer_that_comes_later_is_never_delivered(gateway, service, eventually):
    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK.replace(b"Connection: close\r\n", b""))
        await asyncio.sleep(0.02)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
        await reader.read()

    service.talk = talk
    client = await gateway.connect()
    assert (await client.ask(GET)).body == b"ok"
    await eventually(lambda: not service.open)
    service.talk = Saying(OK)
    assert (await client.ask(GET)).body == b"ok"


# Too little.


async def test_nobody_there_is_a_bad_gateway(start_gateway, service):
    gateway = await start_gateway(service)
    await service.stop()
    client = await gateway.connect()
    for _ in range(2):
        answer = await client.ask(GET)
        assert answer.status == 502
        assert_tells_nothing(answer, service)


async def test_a_name_that_does_not_exist_is_a_bad_gateway(start_gateway):
    gateway = await start_gateway()
    gateway.publish(("does-not-exist.invalid", 80))
    assert (await gateway.ask(GET)).status == 502


async def test_a_service_that_does_not_accept_is_a_gateway_timeout(start_gateway):
    # A full backlog: the kernel answers no more SYN.
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = []
        for _ in range(4):
            each = socket.socket()
            each.setblocking(False)  # noqa: FBT003 - positional only
            each.connect_ex(listening.getsockname())
            waiting.append(each)
        gateway = await start_gateway(backend={"dialTimeout": 0.1})
        gateway.publish(listening.getsockname())
        answer = await gateway.ask(GET)
        assert answer.status == 504
        for each in waiting:
            each.close()


@pytest.fixture
def mute():
    """The place of a server that says nothing in handshakes of TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield Endpoint(address="127.0.0.1", port=listening.getsockname()[1], scheme="https")


async def test_if_an_instance_does_not_accept_in_time_another_one_is_asked_whatever_the_method(
    start_gateway, service, mute
):
    gateway = await start_gateway(service, backend={"dialTimeout": 0.1})
    gateway.plane.directory.publish(
        "test", {"service": [mute, Endpoint(address=service.address[0], port=service.address[1])]}
    )
    # Whichever is the first to be asked.
    assert [(await gateway.ask(POST)).status for _ in range(2)] == [200, 200]
    assert len(service.requests) == 2


async def test_nobody_waits_for_a_connection_longer_than_for_an_answer(start_gateway, mute):
    gateway = await start_gateway(backend={"dialTimeout": 60}, rule={"timeout": 0.1})
    gateway.plane.directory.publish("test", {"service": [mute]})
    assert (await gateway.ask(GET)).status == 504


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\ncontent-le", b"HTTP/1.1 103 E\r\n\r\n"])
async def test_a_service_that_leaves_without_an_answer_is_a_bad_gateway(gateway, service, beginning, end):
    async def leave(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(beginning)
        await asyncio.sleep(0.01)
        writer.close() if end == "close" else reset(writer)

    service.talk = leave
    client = await gateway.connect()
    answer = await client.ask(GET)
    assert answer.status == 502
    assert_tells_nothing(answer, service)
    service.talk = Saying(OK)
    assert (await client.ask(GET)).body == b"ok"


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 2", b"HTTP/1.1 103 E\r\n\r\n"])
async def test_a_silent_service_is_a_gateway_timeout(start_gateway, service, eventually, beginning):
    gateway = await start_gateway(service, rule={"timeout": 5})
    service.talk = Saying(beginning)
    client = await gateway.connect()
    await client.send(GET)
    await eventually(lambda: service.talk.was_asked)
    await asyncio.sleep(0.02)
    gateway.let_pass(4)
    gateway.let_pass(6)
    answer = await client.receive()
    assert answer.status == 504
    assert_tells_nothing(answer, service)
    await eventually(lambda: not service.open)


async def test_the_default_time_of_a_service(start_gateway, service, eventually):
    gateway = await start_gateway(service, backend={"responseHeaderTimeout": 7})
    service.talk = Saying(b"")
    client = await gateway.connect()
    await client.send(GET)
    await eventually(lambda: service.talk.was_asked)
    gateway.let_pass(6)
    gateway.let_pass(8)
    assert (await client.receive()).status == 504


async def test_a_service_that_falls_silent_in_mid_body_is_cut_off(gateway, service, eventually):
    service.talk = Saying(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello")
    client = await gateway.connect()
    await client.send(GET)
    await client.receive_head()
    assert await client.reader.readexactly(5) == b"hello"
    gateway.let_pass(31)
    assert await client.is_closed()
    await eventually(lambda: not service.open)


async def test_a_service_that_does_not_read_is_a_gateway_timeout(start_gateway, service):
    gateway = await start_gateway(service, http={"maxRequestSize": 0})

    async def talk(reader, writer):
        reader._limit = 1
        await asyncio.sleep(5)

    service.talk = talk
    client = await gateway.connect()
    await client.send(b"POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: 1000000000\r\n\r\n")
    sending = asyncio.create_task(client.send(bytes(60_000_000)))
    await asyncio.sleep(0.3)
    gateway.let_pass(31)
    assert (await client.receive()).status == 504
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


async def test_a_service_is_not_blamed_for_a_slow_client(start_gateway, service, eventually):
    gateway = await start_gateway(service, http={"readTimeout": 1000})
    client = await gateway.connect()
    await client.send(b"POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: 3\r\n\r\na")
    await eventually(lambda: service.requests and service.requests[0].body)
    gateway.let_pass(900)
    await client.send(b"bc")
    assert (await client.receive()).status == 200


async def test_what_went_wrong_is_logged_with_the_instance(gateway, service, caplog):
    service.talk = Saying(b"garbage\r\n\r\n")
    with caplog.at_level(logging.WARNING, "gateway"):
        answer = await gateway.ask(GET)
    (record,) = [record for record in caplog.records if "malformed" in record.getMessage()]
    assert record.levelno == logging.WARNING
    assert record.request_id == answer["x-request-id"]
