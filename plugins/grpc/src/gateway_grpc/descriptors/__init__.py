"""Which methods services have, and what their messages look like.

A ``source`` fetches sets of descriptors, ``library`` keeps the last good ones and fetches them again, and ``schema``
makes of them what calls are made with.
"""
