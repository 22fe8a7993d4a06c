"""Token limits for language models behind Gateway.

- ``LlmLimits``: the policy.
- ``Charge``: what was taken for a request, and is settled when its tokens are known.
- ``Usage``, ``JsonMeter``, ``StreamMeter``: how many tokens an answer says it was, or may have been.
- ``MeteredBody``: lets an answer by as it is, and shows it to a meter.
"""
