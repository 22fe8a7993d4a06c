"""What gateway-llm-limits offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import BuildContext, PolicyRegistration, Stage, hookimpl
from gateway_llm_limits.config import LlmLimitsConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway_llm_limits.policy import LlmLimits


@hookimpl
def gateway_register_policies() -> Sequence[PolicyRegistration]:
    return [
        PolicyRegistration(
            name="llm-limits",
            summary="Counts the tokens of language models, and limits them",
            config=LlmLimitsConfig,
            build=build_llm_limits,
            stage=Stage.LIMIT,
        )
    ]


def build_llm_limits(config: LlmLimitsConfig, context: BuildContext) -> LlmLimits:
    from gateway_llm_limits.policy import LlmLimits

    return LlmLimits(config, context)
