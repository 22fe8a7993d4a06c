"""``gateway check-plugin``: what is wrong with a plugin, told to its author before an operator finds out.

- ``subject`` finds the plugins that are asked about, and their files, without importing them.
- ``metadata``, ``hooks``, ``offers`` and ``models`` look at what a plugin says of itself.
- ``source`` reads its code; ``blocking`` and ``growth`` find in it what stops the event loop or fills the memory,
  ``synchronous`` what would never run.
- ``importing`` measures what importing it costs, in a process of its own.
- ``driving`` builds its components and runs them; ``tables`` watches what grows meanwhile.
- ``reviewing`` does all of it. A ``Finding`` says what, where, and what to do about it.
"""

from __future__ import annotations

from gateway.review.finding import Finding
from gateway.review.importing import measure_imports
from gateway.review.reviewing import Review, review
from gateway.review.subject import NoSubjectError, Subject, find_subjects

__all__ = ["Finding", "NoSubjectError", "Review", "Subject", "find_subjects", "measure_imports", "review"]
