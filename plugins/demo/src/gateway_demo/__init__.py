"""The demo service of Gateway: answers inside the gateway's own process, as httpbin does.

``provider`` publishes the service ``demo``, whose one instance has the scheme ``demo``; ``connector`` is what that
scheme leads to. It chooses one of the ``pages``; ``echo`` describes a request in JSON.
"""
