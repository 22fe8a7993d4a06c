"""Services: which instances they have, and how one of them is asked."""

from __future__ import annotations

from gateway.services.change import Change, Published
from gateway.services.directory import ServiceDirectory, worker_source
from gateway.services.dispatch import build_dispatch
from gateway.services.service import Service

__all__ = ["Change", "Published", "Service", "ServiceDirectory", "build_dispatch", "worker_source"]
