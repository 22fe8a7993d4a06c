"""What the block refuses."""

import pytest
from pydantic import ValidationError

from gateway_jsonlog.config import AccessLogConfig


@pytest.mark.parametrize(
    ("block", "why"),
    [
        ({"format": "xml"}, "'json' or 'combined'"),
        ({"output": ""}, "at least 1 character"),
        ({"sample": 1.5}, "less than or equal to 1"),
        ({"sample": -0.1}, "greater than or equal to 0"),
        ({"keepStatus": 99}, "greater than or equal to 100"),
        ({"query": "full"}, "'omit' or 'redact'"),
        ({"flushInterval": 0}, "greater than 0"),
        ({"flushBytes": "1MB", "bufferBytes": "1MB"}, "twice flushBytes"),
        ({"format": "combined", "requestHeaders": ["accept"]}, "no place for requestHeaders"),
        ({"format": "combined", "fields": {"a": "b"}}, "no place for requestHeaders"),
        ({"fields": {"status": "fine"}}, "status is a field of every line already"),
        ({"fields": {"a": ["b"]}}, "fields.a"),
        ({"outputs": "stdout"}, "Extra inputs"),
    ],
)
def test_what_cannot_be_meant_is_refused(block, why):
    with pytest.raises(ValidationError, match=why):
        AccessLogConfig.model_validate(block)
