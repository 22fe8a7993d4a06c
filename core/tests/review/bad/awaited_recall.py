"""Finding: synchronous at line 16: Tokens.recall is a coroutine function"""

from pydantic import Field, SecretStr

from gateway import AuthenticatorRegistration, Config, Principal, Unauthorized


class TokenConfig(Config):
    token: SecretStr = Field(description="Who has it is let in.")


class Tokens:
    def __init__(self, config, context):
        self._token = config.token.get_secret_value()

    async def recall(self, request):
        return Principal(subject="jo") if request.headers.get("x-token") == self._token else None

    async def authenticate(self, request):
        raise Unauthorized("the token is not valid")


tokens = AuthenticatorRegistration(
    name="tokens", summary="Asks for a token", config=TokenConfig, build=Tokens, challenge="Token"
)
