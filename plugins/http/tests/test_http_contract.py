"""What every connector promises, kept by this one; and every policy, kept by the one for request limits."""

from __future__ import annotations

from gateway import Headers, Section
from gateway.testing import HttpConnectorContract, PolicyContract


class TestConnector(HttpConnectorContract):
    plugin = "gateway_http.plugin"

    async def test_fields_of_requests_arrive_however_they_are_kept(self):
        """Those that requests of a connection share, and lines behind them; framing stays the connection's own."""
        added, framing = frozenset({b"x-added"}), frozenset({b"content-length", b"x-framing"})
        async with self._connected() as (connector, instance):
            section = Section(self.request(0).headers.pairs)
            for number in range(3):
                exchange = self._exchange(number)
                headers = exchange.request.headers = Headers.shared(section)
                headers.extend_lines(added, b"x-added: %d\r\n" % number)
                if number == 1:
                    headers.extend_lines(framing, b"content-length: 7\r\nx-framing: 1\r\n")
                await self._body(await connector.open(instance, exchange))
                received = self.upstream.requests[-1]
                assert received.all("x-added") == [str(number)]
                assert received.all("x-framing") == (["1"] if number == 1 else [])
                assert "content-length" not in received


class TestRequestLimits(PolicyContract):
    plugin = "gateway_http.plugin"
    offer = "requestlimits"

    def config(self):
        return {"maxRequestSize": "10MB"}

    def off(self):
        return {}, self.route()
