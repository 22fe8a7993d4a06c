"""Finding: blocking at line 19: .read_text() blocks the event loop in Lists._read, which Lists.authenticate calls"""

from pathlib import Path

from gateway import AuthenticatorRegistration


class Lists:
    def __init__(self, path):
        self._path = path

    async def authenticate(self, request):
        if request.headers.get("authorization") == "never":
            return self._read()
        return None

    def _read(self):
        # Found, although it is no coroutine.
        return Path(self._path).read_text()


def build(config, context):
    return Lists("/nowhere")


lists = AuthenticatorRegistration(name="lists", summary="Lists", build=build, challenge="Basic")
