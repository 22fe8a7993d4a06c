"""Which plugins are installed and what they offer.

- ``PluginHost.discover`` finds, imports and asks them; one that fails is contained.
- ``Plugin`` is one of them, with its offers or with what is wrong with it.
- ``Offer`` is anything a plugin may register.
- ``PSEUDO_METHOD`` is the kind as which ``PluginHost.find`` knows what ``PseudoMethods`` tells from other requests.
"""

from __future__ import annotations

from gateway.pluginhost.host import PSEUDO_METHOD, PluginHost
from gateway.pluginhost.plugin import Offer, Plugin
from gateway.pluginhost.pseudo_methods import PseudoMethods

__all__ = ["PSEUDO_METHOD", "Offer", "Plugin", "PluginHost", "PseudoMethods"]
