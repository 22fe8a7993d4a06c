"""The keys and their file."""

from __future__ import annotations

import subprocess
import sys
from hashlib import sha256

import pytest
from pydantic import SecretStr

from gateway_apikey.config import ApiKeyConfig
from gateway_apikey.key_file import MAX_FILE_BYTES, KeyFileError, read_keys, signature_of
from gateway_apikey.keys import KeyIndex


def index(**block):
    return KeyIndex(ApiKeyConfig.model_validate(block), {})


def test_a_key_is_found_by_its_hash():
    known = index(keys={"a": {"key": "one"}, "b": {"key": "two"}}).find(sha256(b"two").digest())
    assert known is not None
    assert known.id == known.principal.subject == "b"


def test_ten_thousand_keys_are_found_as_fast_as_ten():
    keys = index(keys={f"k{number}": {"key": f"key-{number}"} for number in range(10_000)})
    assert len(keys) == 10_000
    assert keys.find(sha256(b"key-9999").digest()) is not None
    assert keys.find(sha256(b"key-10000").digest()) is None


def test_a_key_that_stands_in_both_places_is_refused(tmp_path):
    file = tmp_path / "keys.yaml"
    file.write_text("a: {key: s3cret}")
    with pytest.raises(ValueError, match="'a' stands in the configuration and in its file"):
        KeyIndex(ApiKeyConfig.model_validate({"keys": {"a": {"key": "other"}}}), read_keys(file))
    with pytest.raises(ValueError, match="'b' and 'a' are the same key"):
        KeyIndex(ApiKeyConfig.model_validate({"keys": {"b": {"key": "s3cret"}}}), read_keys(file))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: {key: s3cret", "line 2 is neither YAML nor JSON"),
        (b"a: {key: s3cret}\na: {key: s3cret2}", "has a key twice"),
        (b"a: {key: s3cret, key: s3cret2}", "has a key twice"),
        (b"a: &a {key: s3cret}\nb: {<<: *a, key: s3cret2, key: s3cret3}", "has a key twice"),
        (b"? [s3cret]\n: {key: s3cret}", "is neither YAML nor JSON"),
        (b"\xff\xfe\x00s3cret", "is neither YAML nor JSON"),
        (b"a: !!python/object/apply:os.system [s3cret]", "is neither YAML nor JSON"),
        (b"[" * 100_000, "is neither YAML nor JSON"),
        (b"s3cret", "the whole: Input should be a valid dictionary"),
        (b"a: s3cret", "a: Input should be a valid dictionary"),
        (b"a: {key: 17}", "a.key: Input should be a valid string"),
        (b"a: {key: s3cret, scope: x}", "a.scope: Extra inputs are not permitted"),
        (b"17: {key: s3cret}", "Input should be a valid string"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_not_quoted(tmp_path, content, message):
    file = tmp_path / "keys.yaml"
    file.write_bytes(content)
    with pytest.raises(KeyFileError) as caught:
        read_keys(file)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_json_with_a_key_twice_is_refused(tmp_path):
    file = tmp_path / "keys.json"
    file.write_text('{"a": {"key": "x"}, "a": {"key": "y"}}')
    with pytest.raises(KeyFileError, match="has a key twice"):
        read_keys(file)


def test_a_file_that_is_too_large_is_not_read_to_its_end(tmp_path):
    file = tmp_path / "keys.yaml"
    with file.open("wb") as sparse:
        sparse.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(KeyFileError, match="larger than 64 MiB"):
        read_keys(file)


def test_what_several_keys_share_may_stand_once(tmp_path):
    file = tmp_path / "keys.yaml"
    file.write_text(
        "a: &a {key: one, scopes: [read]}\nb: &b {<<: *a, key: two}\nc: {<<: [*b], key: three, scopes: [write]}"
    )
    known = {name: each.model_dump(include={"key", "scopes"}) for name, each in read_keys(file).items()}
    assert known == {
        "a": {"key": SecretStr("one"), "scopes": {"read"}},
        "b": {"key": SecretStr("two"), "scopes": {"read"}},
        "c": {"key": SecretStr("three"), "scopes": {"write"}},
    }


def test_an_empty_file_has_no_keys(tmp_path):
    file = tmp_path / "keys.yaml"
    file.write_text("")
    assert read_keys(file) == {}


def test_no_file_has_no_signature(tmp_path):
    assert signature_of(tmp_path / "none") is None


def test_importing_the_plugin_imports_nothing_heavy():
    program = "import sys, gateway_apikey.plugin as p; sys.exit('gateway_apikey.authenticator' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
