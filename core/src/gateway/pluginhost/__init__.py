"""Which plugins are installed and what they offer.

- ``PluginHost.discover`` finds, imports and asks them; one that fails is contained.
- ``Plugin`` is one of them, with its offers or with what is wrong with it.
- ``Offer`` is anything a plugin may register.
"""

from __future__ import annotations

from gateway.pluginhost.host import PluginHost
from gateway.pluginhost.plugin import Offer, Plugin

__all__ = ["Offer", "Plugin", "PluginHost"]
