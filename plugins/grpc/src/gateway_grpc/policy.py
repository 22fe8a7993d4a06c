"""The policy ``grpc``: makes calls of requests with JSON, and lets streams of gRPC rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_grpc.native.resting import RestingStreams

if TYPE_CHECKING:
    from gateway import BuildContext, Handler, Route
    from gateway_grpc.config import GrpcConfig
    from gateway_grpc.descriptors.inventory import Inventory
    from gateway_grpc.descriptors.library import Library
    from gateway_grpc.descriptors.reflection import ReflectedLibrary
    from gateway_grpc.transcoding.transcoder import Transcoder

__all__ = ["TranscodingPolicy"]


class TranscodingPolicy:
    """Implements ``gateway.interfaces.Policy`` for rules with ``protocol: grpc``.

    Args:
        config: The block ``protocols.grpc``, a rule's ``grpc`` over it.
        context: The gateway.

    Raises:
        ValueError: If descriptors are broken, and the operator wants to know at the start.
    """

    # Calls of clients of gRPC wait for nothing but the service; who waits for something else gets a task then.
    waits = False

    def __init__(self, config: GrpcConfig, context: BuildContext) -> None:
        self._config = config
        self._context = context
        self._library = self._library_of_sources() if config.has_sources else None
        self._reflected: dict[str, ReflectedLibrary] = {}

    def is_current(self) -> bool:
        """Tell whether descriptors are still those that it read; asked at a reload."""
        return self._library is None or self._library.is_current()

    def wrap(self, call_next: Handler, route: Route) -> Handler:
        """Stand before routes to gRPC services."""
        if route.protocol != "grpc":
            return call_next
        if not self._config.enable_transcoding:
            return RestingStreams(call_next, self._config.stream_idle_timeout or None).handle
        # Here and below: who has no such route does not wait for what it takes, nor has it in memory.
        from gateway_grpc.transcoding.handler import TranscodingHandler  # noqa: PLC0415 - see above

        source = self._library or self._reflection_of(route.service)
        if source is not None:
            self._inventory().add(source)
        return TranscodingHandler(self._config, source, call_next, route).handle

    def _inventory(self) -> Inventory:
        """Return all descriptors of this process, which the endpoints can see."""
        from gateway_grpc.descriptors.inventory import Inventory  # noqa: PLC0415 - see above

        inventory = self._context.keep("descriptors", Inventory)
        self._context.expose("descriptors", inventory.report)
        self._context.expose("reload", inventory.reload)
        return inventory

    def _library_of_sources(self) -> Library[Transcoder]:
        from gateway_grpc.descriptors.library import Library  # noqa: PLC0415 - see above
        from gateway_grpc.descriptors.sources import sources_of  # noqa: PLC0415 - see above
        from gateway_grpc.transcoding.transcoder import Transcoder  # noqa: PLC0415 - see above

        config = self._config
        return Library(
            list(sources_of(config, self._context)),
            lambda schema: Transcoder(schema, config),
            self._context,
            is_reloading=config.auto_reload,
            fails=config.fail_on_error,
        )

    def _reflection_of(self, service: str) -> ReflectedLibrary | None:
        """Return what a service says of itself: one for all its routes with this configuration."""
        if self._config.reflection is False:
            return None
        if service not in self._reflected:
            from gateway_grpc.descriptors.reflection import ReflectedLibrary  # noqa: PLC0415 - see above

            self._reflected[service] = ReflectedLibrary(self._config, self._context)
        return self._reflected[service]


if TYPE_CHECKING:
    from gateway.interfaces import Policy

    _: type[Policy] = TranscodingPolicy
