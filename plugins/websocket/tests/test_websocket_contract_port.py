"""What every adapter promises, kept by the port for WebSockets alone, with handshakes that a service refuses."""

from __future__ import annotations

from gateway.testing import AdapterContract, Client

HANDSHAKE = {
    "host": "gateway.test",
    "connection": "upgrade",
    "upgrade": "websocket",
    "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "sec-websocket-version": "13",
}


class TestPort(AdapterContract):
    plugin = "gateway_websocket.plugin"
    carrier = "gateway_http.plugin"
    has_bodies = False

    def config(self):
        return {"host": "127.0.0.1", "port": 0}

    def request(self, number):
        fields = "".join(f"{name}: {value}\r\n" for name, value in HANDSHAKE.items())
        return f"GET /{number} HTTP/1.1\r\n{fields}\r\n".encode()

    async def ask(self, address, number, body=b""):
        async with Client(*address) as client:
            answer = await client.begin("GET", f"/{number}", headers=HANDSHAKE)
            content = await answer.read()
            if answer.status != 200:
                raise ConnectionError(f"the answer is {answer}")
            return content
