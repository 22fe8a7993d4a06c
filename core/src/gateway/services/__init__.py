"""Services: which instances they have, and how one of them is asked."""

from __future__ import annotations

from gateway.services.directory import Change, Published, Service, ServiceDirectory, worker_source
from gateway.services.dispatch import build_dispatch

__all__ = ["Change", "Published", "Service", "ServiceDirectory", "build_dispatch", "worker_source"]
