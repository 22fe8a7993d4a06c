"""Which authenticators a rule tries, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.claims import place_of
from gateway.config.places import Items
from gateway.registrations import AuthenticatorRegistration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.config.access import RouteAuth
    from gateway.config.draft import Context, Draft
    from gateway.config.model import AuthConfig
    from gateway.config.places import Block, Place
    from gateway.config.result import Configured

__all__ = ["Authenticators"]


class Authenticators:
    """Chooses the authenticators of each rule.

    Those that ``auth.providers`` names are tried in its order, otherwise all that are on, by name. A rule may name
    others with ``authType``, or turn one on with a block of its own.

    Args:
        context: What they are worked out in; those that ``providers`` names are turned on.
        auth: The gateway's ``auth``.
        block: The same as it is written, for the places in messages.
    """

    def __init__(self, context: Context, auth: AuthConfig, block: Block) -> None:
        self._offers = context.offers
        self._report = context.report
        self._missing = context.missing
        self._auth = auth
        self._block = block
        self._installed = {
            offer.name: offer
            for offer in context.host.of_kind("authenticator")
            if isinstance(offer, AuthenticatorRegistration)
        }
        self._default = list(self._installed) if auth.providers is None else self._named(auth.providers)
        others = [name for name in self._installed if name not in self._default]
        self._order = [*self._default, *others]

    def for_rule(self, auth: RouteAuth, draft: Draft) -> tuple[Configured, ...]:
        """Return the authenticators of a rule, in the order they are tried.

        Args:
            auth: Who may use its route.
            draft: The rule.
        """
        if auth.skip:
            return ()
        types = draft.rule.auth_type or draft.rule.auth.type or ()
        absent = [name for name in types if not self._is_there(name, draft)]
        wanted = [name for name in self._order if self._is_wanted(name, types, draft)]
        found = [configured for name in wanted if (configured := self._configured(name, draft)) is not None]
        # An authenticator that is named but not there, or on but wrong, has been reported already.
        is_reported = bool(absent) or any(self._is_wrong(name, draft) for name in wanted)
        if auth.required and not found and not is_reported:
            self._refuse(None if self._is_required_everywhere and not types else draft)
        return tuple(found)

    def check_required(self) -> None:
        """Report that credentials are required everywhere and nobody could check them; for when there are no rules."""
        if self._is_required_everywhere and not any(map(self._is_on, self._default)):
            self._refuse(None)

    def _named(self, names: Sequence[str]) -> list[str]:
        """Return the installed ones among ``names``, turned on."""
        found = []
        for name, position in {name: position for position, name in enumerate(names)}.items():
            place = self._provider_place(position)
            registration = self._installed.get(name)
            if registration is None:
                self._report.error(self._missing.offer("authenticator", name, self._installed), value=place)
                continue
            self._offers.switch(registration, on=True)
            if not self._offers.is_on(registration):
                self._report.warn(f"names {name!r}, which 'enabled: false' turns off", key=place)
            found.append(name)
        return found

    def _provider_place(self, position: int) -> Place:
        names, place = self._block["providers"], self._block.places["providers"]
        return names.places[position] if isinstance(names, Items) else place

    @property
    def _is_required_everywhere(self) -> bool:
        return self._auth.required or bool(self._auth.required_scopes)

    def _is_on(self, name: str) -> bool:
        return self._offers.is_on(self._installed[name])

    def _is_wanted(self, name: str, types: Sequence[str], draft: Draft) -> bool:
        if types:
            return name in types
        return name in self._default or id(self._installed[name]) in draft.overrides

    def _configured(self, name: str, draft: Draft) -> Configured | None:
        registration = self._installed[name]
        block = draft.overrides.get(id(registration))
        if block is None:
            return self._offers.gateway_wide(registration)
        return self._offers.for_rule(registration, block)

    def _is_wrong(self, name: str, draft: Draft) -> bool:
        registration = self._installed[name]
        if id(registration) in draft.overrides:
            return False
        return self._offers.is_on(registration) and self._offers.gateway_wide(registration) is None

    def _is_there(self, name: str, draft: Draft) -> bool:
        """Report an authenticator that the rule names and nobody has configured."""
        registration = self._installed.get(name)
        place = draft.place("authType", "auth.type")
        if registration is None:
            self._report.error(self._missing.offer("authenticator", name, self._installed), value=place)
            return False
        if self._offers.is_on(registration) or id(registration) in draft.overrides:
            return True
        block = ".".join(place_of(registration))
        self._report.error(f"the authenticator {name!r} is not configured; add gateway.{block}", value=place)
        return False

    def _refuse(self, draft: Draft | None) -> None:
        message = "credentials are required and no authenticator is on that could check them; "
        names = " or ".join(map(repr, self._installed))
        message += f"configure {names}" if names else "install and configure one, such as gateway-jwt"
        if draft is not None:
            place = draft.place("authRequired", "auth.required", "authType", "auth.type", "auth.scopes")
        else:
            place = self._block.places["required" if self._auth.required else "requiredScopes"]
        self._report.error(message, key=place)
