"""The running gateway.

- ``run`` starts everything and hears signals; ``options`` says what it was told.
- ``control``: the control plane reads configuration, runs discovery and health checks, answers ``/_gateway``.
- A *plane* serves: ``dataplane`` in this process, or ``workers``, each a ``worker`` at the other end of a ``channel``.
- ``generation``: the compiled routes of one configuration; a reload makes the next in two steps, prepare and commit.
- ``components``, with their ``context``: built once, shared by generations, exited when nobody uses them.
- ``listeners``, ``deadlines``, ``outbox``, ``supervision``, ``watchdog``, ``loop``, ``reload``: what these are made of.
"""
