"""GatewayRoute objects: what they say, and what is said of them in their status."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gateway_kubernetes.objects import parse_key
from gateway_kubernetes.problems import ObjectError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway_kubernetes.objects import Key

__all__ = ["GROUP", "KIND", "PLURAL", "Condition", "RouteObject", "merge_conditions", "parse_route"]

GROUP = "/apis/gateway.io/v1alpha1"
PLURAL = "gatewayroutes"
KIND = "GatewayRoute"
MAX_SPEC_LENGTH = 65536
"""Of the JSON of a spec; the core takes no more for a rule either."""
MAX_MESSAGE_LENGTH = 1024
"""Of a condition; the API server takes 32,768 (``metav1.Condition``)."""
MAX_CONDITIONS = 16


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition of a status (``metav1.Condition``).

    Attributes:
        type: ``Accepted``, ``ResolvedRefs`` or ``Programmed``.
        is_true: Its status.
        reason: Why, in one word.
        message: Why, for people.
        generation: Of the spec that it is about.
        since: When its status changed last, as RFC 3339 has it.
    """

    type: str
    is_true: bool
    reason: str
    message: str
    generation: int
    since: str = ""

    def says_as(self, other: Condition) -> bool:
        """Say whether both say the same, whenever it changed."""
        return (self.type, self.is_true, self.reason, self.message, self.generation) == (
            other.type, other.is_true, other.reason, other.message, other.generation
        )  # fmt: skip

    def as_object(self) -> dict[str, object]:
        """Return it as the API has it."""
        return {
            "type": self.type,
            "status": "True" if self.is_true else "False",
            "reason": self.reason,
            "message": self.message,
            "observedGeneration": self.generation,
            "lastTransitionTime": self.since,
        }


@dataclass(frozen=True, slots=True)
class RouteObject:
    """A GatewayRoute.

    Attributes:
        key: Namespace and name.
        uid: Its identity over time.
        created: When it was made, as RFC 3339 has it.
        generation: Counts the changes of its spec.
        spec: A rule, in JSON.
        target: The service that it names, by namespace and name; ``None`` if it names none.
        conditions: What its status says.
    """

    key: Key
    uid: str
    created: str
    generation: int
    spec: str
    target: Key | None
    conditions: tuple[Condition, ...]

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"{KIND} {'/'.join(self.key)}"


def parse_route(said: Mapping[str, Any]) -> RouteObject:
    """Return a route as it matters here.

    Raises:
        ObjectError: If it cannot be read.
    """
    metadata, spec, status = said.get("metadata") or {}, said.get("spec"), said.get("status")
    if not isinstance(spec, dict):
        raise ObjectError("it has no spec")
    text = json.dumps(spec, sort_keys=True)
    if len(text) > MAX_SPEC_LENGTH:
        msg = f"its spec is longer than {MAX_SPEC_LENGTH}"
        raise ObjectError(msg)
    key, generation = parse_key(said), metadata.get("generation")
    namespace, service = _text(spec.get("serviceNamespace") or key[0]), _text(spec.get("serviceName"))
    conditions = status.get("conditions") if isinstance(status, dict) else None
    return RouteObject(
        key=key,
        uid=_text(metadata.get("uid")),
        created=_text(metadata.get("creationTimestamp")),
        generation=generation if isinstance(generation, int) else 0,
        spec=text,
        target=(namespace, service) if namespace and service else None,
        conditions=tuple(
            _condition(each)
            for each in (conditions if isinstance(conditions, list) else ())[:MAX_CONDITIONS]
            if isinstance(each, dict)
        ),
    )


def merge_conditions(wanted: tuple[Condition, ...], written: tuple[Condition, ...], now: str) -> tuple[Condition, ...]:
    """Return the conditions to write: those whose status stays have the time of what is written already.

    Args:
        wanted: What there is to say.
        written: What the status says.
        now: The time, as RFC 3339 has it.
    """
    before = {each.type: each for each in written}
    merged = []
    for each in wanted:
        old = before.get(each.type)
        since = old.since if old is not None and old.since and old.is_true == each.is_true else now
        message = each.message[:MAX_MESSAGE_LENGTH]
        merged.append(replace(each, message=message, since=since))
    return tuple(merged)


def _condition(said: Mapping[str, Any]) -> Condition:
    generation = said.get("observedGeneration")
    return Condition(
        type=_text(said.get("type")),
        is_true=said.get("status") == "True",
        reason=_text(said.get("reason")),
        message=_text(said.get("message")),
        generation=generation if isinstance(generation, int) else 0,
        since=_text(said.get("lastTransitionTime")),
    )


def _text(value: object) -> str:
    return value[:MAX_SPEC_LENGTH] if isinstance(value, str) else ""
