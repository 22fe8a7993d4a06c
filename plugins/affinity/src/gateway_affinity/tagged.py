"""The tags of instances: made once, for all routes to a service, and kept over reloads."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway import Instance
    from gateway_affinity.token import Tokens

__all__ = ["MOST_TAGGED", "Tagged", "TaggedServices"]

MOST_TAGGED = 512
"""How many instances that come together get their tags in one selection: a millisecond or two."""


class Tagged:
    """Instances that are found by their tags.

    Those that come together get their tags some at a time, since ten thousand take 30 ms.

    Args:
        instances: All of them.
        tokens: Makes tags.
        known: Tags that were made before, with the same secret.

    Attributes:
        instances: As given.
        tags: The tags of those that have one.
    """

    def __init__(self, instances: Sequence[Instance], tokens: Tokens, known: Mapping[Instance, bytes]) -> None:
        self.instances = instances
        self.tags = {each: known[each] for each in instances if each in known}
        self._tokens = tokens
        self._by_tag = {tag: each for each, tag in self.tags.items()}
        self._untagged = [each for each in instances if each not in known]

    def go_on(self) -> None:
        """Give some of those that have none their tags."""
        if self._untagged:
            self._tag(MOST_TAGGED)

    def find(self, tag: bytes) -> Instance | None:
        """Return the instance of a tag; ``None`` if there is none."""
        found = self._by_tag.get(tag)
        if found is None and self._untagged:
            # It may be one of these, and nobody is sent elsewhere to save time.
            self._tag(len(self._untagged))
            found = self._by_tag.get(tag)
        return found

    def tag(self, instance: Instance) -> bytes:
        """Return the tag of any instance."""
        return self.tags.get(instance) or self._tokens.tag(instance)

    def _tag(self, count: int) -> None:
        for instance in self._untagged[-count:]:
            self.tags[instance] = tag = self._tokens.tag(instance)
            self._by_tag[tag] = instance
        del self._untagged[-count:]


class TaggedServices:
    """What all routes of a gateway share, those of the next configuration too; each lasts as long as somebody holds it.

    A service has other tags for every secret.
    """

    def __init__(self) -> None:
        self._tagged: WeakValueDictionary[tuple[bytes, str], Tagged] = WeakValueDictionary()

    def latest(self, secret: bytes, service: str) -> Tagged | None:
        """Return what was tagged last of a service; ``None`` if nobody holds any of it."""
        return self._tagged.get((_named(secret), service))

    def tagged(self, instances: Sequence[Instance], secret: bytes, tokens: Tokens) -> Tagged:
        """Return ``instances`` of one service, with the tags they have already."""
        key = _named(secret), instances[0].service
        before = self._tagged.get(key)
        if before is not None and before.instances is instances:
            return before
        found = self._tagged[key] = Tagged(instances, tokens, before.tags if before is not None else {})
        return found


def _named(secret: bytes) -> bytes:
    """Return what tells secrets apart and gives none away."""
    return sha256(secret).digest()
