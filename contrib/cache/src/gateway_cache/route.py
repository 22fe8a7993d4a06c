"""One route with a cache before its service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway import ErrorType, Exchange, GatewayError, Headers, Request, Response
from gateway_cache.asked import PRECONDITIONS, Asked
from gateway_cache.filling import Filling
from gateway_cache.flights import Flight, Landing
from gateway_cache.serving import answer_from, is_unchanged
from gateway_cache.stored import (
    Arrival,
    StoredResponse,
    Verdict,
    may_store,
    refreshed_pairs,
    vary_names,
    vary_values,
)
from gateway_cache.uris import named_by, uri_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from gateway import Handler, Route
    from gateway_cache.measures import RouteMeasures
    from gateway_cache.policy import CachePolicy

__all__ = ["CachingRoute", "Fetch"]

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""RFC 9110 section 9.2.1."""
NOT_MODIFIED = 304
NOT_CACHED = 504
"""RFC 9111 section 5.2.1.7."""
SUCCESS = range(200, 400)
FAILED = frozenset({500, 502, 503, 504})
"""RFC 5861 section 4."""
_FAILURES = frozenset({ErrorType.BAD_GATEWAY, ErrorType.UNAVAILABLE, ErrorType.UPSTREAM_TIMEOUT})
_CACHE_STATUS = frozenset({b"cache-status"})
_CONDITIONS = PRECONDITIONS | {b"if-match", b"if-range", b"if-unmodified-since", b"range"}


@dataclass(slots=True)  # not frozen: one is made per request, and that would cost a microsecond
class Fetch:
    """A question to the service.

    Attributes:
        exchange: Whose it is.
        asked: What it wants.
        flight: What others may wait for.
        stored: What is stored already, and was not good enough.
        forward: Why the service is asked.
        scope: What the answer is stored for.
        is_for_the_store: Whether it is read to its end, though no client wants it.
    """

    exchange: Exchange
    asked: Asked
    flight: Flight
    stored: StoredResponse | None
    forward: str
    scope: str
    is_for_the_store: bool = False


class CachingRoute:
    """Answers from the store what may be, and asks the service for the rest.

    Args:
        call_next: The next handler.
        route: The route.
        cache: The cache it shares with other routes.
        measures: Where is counted what becomes of its requests.
    """

    def __init__(self, call_next: Handler, route: Route, cache: CachePolicy, measures: RouteMeasures) -> None:
        self._next = call_next
        self._cache = cache
        self._config = cache.config
        self._store = cache.store
        self._flights = cache.flights
        self._clock = cache.clock
        self._by_result = measures.by_result
        self._scope = f"{route.id}\0{route.service}"
        self._name = cache.config.name

    async def handle(self, exchange: Exchange) -> Response:
        """Answer an exchange."""
        request = exchange.request
        if request.method not in ("GET", "HEAD"):
            return await self._pass_method(exchange)
        asked = Asked(exchange, counts_directives=self._config.request_directives)
        if request.upgrade is not None or request.body != b"" or asked.no_store or asked.is_for_the_service:
            return await self._bypass(exchange, "bypass")
        uri = uri_of(request)
        stored = self._store.find(uri, self._scope_of(exchange), request.headers)
        if stored is not None:
            now_s = self._clock()
            verdict = stored.judge(asked, now_s)
            if verdict is not Verdict.VALIDATE:
                return self._give(exchange, stored, asked, verdict, now_s)
        if asked.only_if_cached:
            return self._told(Response.text("this is not in the cache\n", status=NOT_CACHED), "detail=only-if-cached")
        return await self._fetch(exchange, asked, uri, stored)

    # Without asking the service.

    def _give(
        self, exchange: Exchange, stored: StoredResponse, asked: Asked, verdict: Verdict, now_s: float
    ) -> Response:
        age_s = stored.age_s(now_s)
        self._by_result["hit" if verdict is Verdict.FRESH else "stale"].value += 1.0
        if verdict is Verdict.BEHIND:
            self._cache.refreshes.ask_for(self, exchange, stored)
        response = answer_from(stored, exchange.request, asked, age_s)
        return self._told(response, f"hit; ttl={int(stored.lifetime_s - age_s)}")

    def _stand_in(self, exchange: Exchange, stored: StoredResponse, asked: Asked, why: str) -> Response:
        self._by_result["error"].value += 1.0
        age_s = stored.age_s(self._clock())
        response = answer_from(stored, exchange.request, asked, age_s)
        return self._told(response, f"hit; ttl={int(stored.lifetime_s - age_s)}; detail={why}")

    # Past the cache.

    async def _bypass(self, exchange: Exchange, why: str) -> Response:
        self._by_result["bypass"].value += 1.0
        return self._told(await self._next(exchange), f"fwd={why}")

    async def _pass_method(self, exchange: Exchange) -> Response:
        """Pass on what is no GET or HEAD; one that may have changed something invalidates (RFC 9111 section 4.4)."""
        response = await self._bypass(exchange, "method")
        if exchange.request.method not in SAFE and response.status in SUCCESS:
            uri = uri_of(exchange.request)
            for affected in {uri, *named_by(response, uri)}:
                self._cache.invalidate(affected)
        return response

    # Asking the service.

    async def _fetch(self, exchange: Exchange, asked: Asked, uri: str, stored: StoredResponse | None) -> Response:
        """Ask the service, unless somebody else is asking it the same."""
        request, scope = exchange.request, self._scope_of(exchange)
        forward = self._why(uri, scope, asked, stored)
        if request.method == "HEAD" or asked.has_range:
            return await self._bypass(exchange, forward)
        deadline_s = self._clock() + self._config.coalesce_timeout
        key: Hashable | None = None
        while self._config.coalesce and not asked.no_cache:
            key = (uri, scope, self._store.variant(uri, scope, request.headers))
            if self._flights.is_marked(key) and asked.is_conditional and stored is None:
                # It will hardly be stored, so the service may judge the client's conditions.
                return await self._bypass(exchange, forward)
            flight = self._flights.find(key)
            if flight is None or self._flights.is_marked(key):
                break
            landing = await flight.wait(max(0.0, deadline_s - self._clock()))
            stored = self._store.find(uri, scope, request.headers)
            response = self._landed(exchange, asked, landing, stored, forward)
            if response is not None:
                return response
            if landing is not Landing.STORED:
                key = None  # nobody is to wait for this one: it would be one after the other
                break
        return await self._ask(Fetch(exchange, asked, self._flights.begin(uri, key), stored, forward, scope))

    def _landed(
        self, exchange: Exchange, asked: Asked, landing: Landing, stored: StoredResponse | None, forward: str
    ) -> Response | None:
        """Return the answer that another one's fetch made possible, if there is one."""
        now_s = self._clock()
        if stored is None:
            return None
        if landing is Landing.STORED and stored.judge(asked, now_s) is not Verdict.VALIDATE:
            self._by_result["collapsed"].value += 1.0
            response = answer_from(stored, exchange.request, asked, stored.age_s(now_s))
            return self._told(response, f"fwd={forward}; collapsed")
        if landing is Landing.FAILED and stored.may_stand_in(asked, now_s):
            return self._stand_in(exchange, stored, asked, "collapsed")
        return None

    async def _ask(self, fetch: Fetch) -> Response:
        """Ask the service, and store what it answers."""
        try:
            return await self._ask_and_take(fetch)
        except BaseException:
            self._flights.end(fetch.flight, Landing.FAILED)
            raise

    async def _ask_and_take(self, fetch: Fetch) -> Response:
        exchange, stored = fetch.exchange, fetch.stored
        asked_utc = self._cache.clock_utc()
        given = exchange.request.headers
        exchange.request.headers = _for_the_store(given, stored)
        try:
            response = await self._next(exchange)
        except GatewayError as error:
            if error.type in _FAILURES and stored is not None and stored.may_stand_in(fetch.asked, self._clock()):
                self._flights.end(fetch.flight, Landing.FAILED)
                exchange.request.headers = given
                return self._stand_in(exchange, stored, fetch.asked, "unreachable")
            raise
        finally:
            exchange.request.headers = given
        arrival = Arrival(asked_utc, self._cache.clock_utc(), self._clock())
        if response.status in FAILED and stored is not None and stored.may_stand_in(fetch.asked, arrival.answered_s):
            self._flights.end(fetch.flight, Landing.FAILED)
            response.discard()
            return self._stand_in(exchange, stored, fetch.asked, f"status-{response.status}")
        if response.status == NOT_MODIFIED and stored is not None and stored.can_be_validated:
            return self._renew(fetch, stored, response, arrival)
        return self._take(fetch, response, arrival)

    def _renew(self, fetch: Fetch, stored: StoredResponse, response: Response, arrival: Arrival) -> Response:
        """Answer with a stored response that the service says still holds."""
        self._by_result["validated"].value += 1.0
        response.discard()
        headers = refreshed_pairs(stored, response.headers)
        renewed = StoredResponse(
            stored.uri,
            stored.scope,
            stored.vary,
            status=stored.status,
            headers=headers,
            arrival=arrival,
            may_guess=fetch.asked.is_anonymous,
            config=self._config,
        )
        renewed.fill(stored.body)
        if may_store(stored.status, headers, fetch.asked, self._config) and renewed.is_useful:
            self._put(fetch.flight, renewed)
        else:
            self._store.remove(stored)
            self._flights.end(fetch.flight, Landing.NOT_SHARED)
        answer = answer_from(renewed, fetch.exchange.request, fetch.asked, renewed.age_s(arrival.answered_s))
        return self._told(answer, f"fwd={fetch.forward}; fwd-status=304")

    def _take(self, fetch: Fetch, response: Response, arrival: Arrival) -> Response:
        """Answer with what the service said, and store it if it may be."""
        self._by_result["miss"].value += 1.0
        request, asked, flight = fetch.exchange.request, fetch.asked, fetch.flight
        new = self._storable(fetch, response, arrival)
        if new is None:
            self._flights.end(flight, Landing.NOT_SHARED)
            return self._told(response, f"fwd={fetch.forward}")

        def filled(content: bytes | None) -> None:
            if content is None:
                self._flights.end(flight, Landing.NOT_SHARED)
            else:
                new.fill(content)
                self._put(flight, new)

        has_it_already = asked.is_conditional and is_unchanged(new, request.headers)
        if isinstance(response.body, bytes):
            filled(response.body)
        else:
            goes_on = fetch.is_for_the_store or has_it_already
            filling = Filling(
                response.body,
                self._config.max_object_size,
                self._cache.budget,
                filled,
                is_wanted=lambda: goes_on or flight.is_awaited,
            )
            filling.start()
            response.body = filling.copy
        if has_it_already:
            # The whole of it was asked for to be stored; the client has it already.
            response.discard()
            response = answer_from(new, request, asked, new.age_s(arrival.answered_s))
        return self._told(response, f"fwd={fetch.forward}; stored")

    def _storable(self, fetch: Fetch, response: Response, arrival: Arrival) -> StoredResponse | None:
        """Return what is to be stored of a response, without its content; ``None`` if nothing is."""
        body, names = response.body, vary_names(response.headers)
        length = len(body) if isinstance(body, bytes) else body.length or 0
        if response.tunnel is not None or names is None or length > self._config.max_object_size:
            return None
        if not may_store(response.status, response.headers, fetch.asked, self._config):
            return None
        new = StoredResponse(
            fetch.flight.uri,
            fetch.scope,
            vary_values(names, fetch.exchange.request.headers),
            status=response.status,
            headers=response.headers,
            arrival=arrival,
            may_guess=fetch.asked.is_anonymous,
            config=self._config,
        )
        return new if new.is_useful else None

    def _put(self, flight: Flight, stored: StoredResponse) -> None:
        is_stored = not flight.is_void and self._store.put(stored)
        self._cache.measures.update()
        is_shared = is_stored and not stored.must_validate and stored.lifetime_s > 0
        self._flights.end(flight, Landing.STORED if is_shared else Landing.NOT_SHARED)

    # In the background.

    def refresh_of(self, exchange: Exchange, stored: StoredResponse) -> Fetch | None:
        """Return a fetch of its own that asks for a stored response anew; ``None`` if somebody is asking."""
        request = exchange.request
        key = (stored.uri, stored.scope, self._store.variant(stored.uri, stored.scope, request.headers))
        if self._flights.find(key) is not None:
            return None
        headers = _for_the_store(request.headers, None)
        copied = Request("GET", request.path, query=request.query, headers=headers, id=request.id)
        copied.origin = request.origin
        own = Exchange(copied, _Nobody())
        own.route, own.params, own.principal = exchange.route, exchange.params, exchange.principal
        own.upstream_path = exchange.upstream_path
        asked = Asked(own, counts_directives=False)
        return Fetch(
            own, asked, self._flights.begin(stored.uri, key), stored, "stale", stored.scope, is_for_the_store=True
        )

    async def refresh(self, fetch: Fetch) -> None:
        """Ask for a stored response anew."""
        self._by_result["refreshed"].value += 1.0
        response = await self._ask(fetch)
        # What is read for the store is read all the same; nobody else wants it.
        response.discard()

    def give_up(self, fetch: Fetch) -> None:
        """Tell who waits for a fetch that it does not happen."""
        self._flights.end(fetch.flight, Landing.FAILED)

    # What is said of it.

    def _scope_of(self, exchange: Exchange) -> str:
        """Return the route, its service and the path that is asked there: what another policy may have chosen."""
        if exchange.upstream_path == exchange.request.path:
            return self._scope
        return f"{self._scope}\0{exchange.upstream_path}"

    def _why(self, uri: str, scope: str, asked: Asked, stored: StoredResponse | None) -> str:
        """Return why the service is asked, in the words of RFC 9211 section 2.2."""
        if stored is None:
            return "vary-miss" if self._store.knows(uri, scope) else "uri-miss"
        is_stale = stored.age_s(self._clock()) >= stored.lifetime_s or stored.must_validate
        return "stale" if is_stale and not asked.no_cache else "request"

    def _told(self, response: Response, what: str) -> Response:
        if self._config.cache_status:
            # Behind those of caches nearer to the service (RFC 9211 section 2).
            response.headers.extend_lines(_CACHE_STATUS, f"cache-status: {self._name}; {what}\r\n".encode())
        return response


def _for_the_store(headers: Headers, stored: StoredResponse | None) -> Headers:
    """Return the fields to ask with: without the client's conditions, and with those of what is stored."""
    if stored is None and headers.section is not None and not headers.has_any(_CONDITIONS):
        return headers.copy()
    pairs = [pair for pair in headers.pairs if pair[0] not in _CONDITIONS]
    if stored is not None and stored.etag is not None:
        pairs.append((b"if-none-match", stored.etag.encode("latin-1")))
    if stored is not None and stored.modified is not None:
        pairs.append((b"if-modified-since", stored.modified.encode("latin-1")))
    return Headers(pairs)


class _Nobody:
    """The client of what is fetched in the background."""

    def respond(self, exchange: Exchange, response: Response) -> None:
        """Nobody is answered: the handler is called for what it returns."""

    def inform(self, exchange: Exchange, status: int, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """Nobody waits."""


if TYPE_CHECKING:
    from gateway.interfaces import Responder

    _: type[Responder] = _Nobody
