"""What gateway-mtls offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import AuthenticatorRegistration, BuildContext, hookimpl
from gateway_mtls.config import MtlsConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway_mtls.authenticator import MtlsAuthenticator


@hookimpl
def gateway_register_authenticators() -> Sequence[AuthenticatorRegistration]:
    return [
        AuthenticatorRegistration(
            name="mtls",
            summary="Client certificates of the TLS connection",
            config=MtlsConfig,
            build=build_authenticator,
            path="auth.mtls",
            rule_key="auth.mtls",
            # There is no registered scheme for it; a 401 has to name one (RFC 9110 section 15.5.2).
            challenge="ClientCertificate",
        )
    ]


def build_authenticator(config: MtlsConfig, context: BuildContext) -> MtlsAuthenticator:
    from gateway_mtls.authenticator import MtlsAuthenticator

    return MtlsAuthenticator(config, context)
