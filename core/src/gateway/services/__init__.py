"""Services: which instances they have, and how one of them is asked."""

from __future__ import annotations

from gateway.services.directory import Service, ServiceDirectory
from gateway.services.dispatch import build_dispatch

__all__ = ["Service", "ServiceDirectory", "build_dispatch"]
