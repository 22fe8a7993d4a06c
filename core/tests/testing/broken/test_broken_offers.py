"""What every contract asks of an offer and its configuration: what is caught."""

import re
from dataclasses import replace

import pytest
from core.tests.testing.broken.harness import breach
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_serializer, field_validator

from gateway import Config, ObserverRegistration
from gateway.testing import ComponentContract


class GoodConfig(Config):
    word: SecretStr = Field(SecretStr("default"), description="A secret.")
    names: list[str] = Field([], description="Names.")


def build(config, context):
    return object()


GOOD = ObserverRegistration(name="good", summary="It is good", config=GoodConfig, build=build)


class OfferContract(ComponentContract):
    plugin = GOOD

    def config(self):
        return {"word": "open sesame", "names": ["a"]}


class TestOffers(OfferContract):
    """The reference."""


class Loose(BaseModel):
    model_config = ConfigDict(frozen=True)
    word: SecretStr = Field(SecretStr(""), description="A secret.")
    names: list[str] = Field([], description="Names.")


class Changeable(GoodConfig):
    model_config = ConfigDict(frozen=False)


class Inner(Config):
    depth: int = 1


class Undescribed(GoodConfig):
    inner: list[Inner] = Field([], description="What is in it.")


class PlainSecret(GoodConfig):
    api_token: str = Field("", description="A secret.")


class PlainSecrets(GoodConfig):
    tokens: dict[str, list[str]] = Field({}, description="Secrets.")


class NamedSecrets(GoodConfig):
    tokens: dict[str, SecretStr] = Field({}, description="Secrets, by the name of who has them.")


class Tells(GoodConfig):
    def __repr__(self) -> str:
        return f"Tells({self.word.get_secret_value()})"


class KeepsObjects(GoodConfig):
    names: object = Field(None, description="Names.")  # type: ignore[assignment]  # that is what is wrong with it

    @field_validator("names", mode="after")
    @classmethod
    def _wrap(cls, names: object) -> object:
        return object()


class WritesOtherwise(GoodConfig):
    @field_serializer("names")
    def _joined(self, names: list[str]) -> list[str]:
        return [*names, "more"]


@pytest.mark.parametrize(
    ("offer", "check", "said"),
    [
        (replace(GOOD, name="no good"), "test_the_offer_is_valid", "a name consists of"),
        (replace(GOOD, summary=""), "test_the_offer_is_valid", "no summary"),
        (replace(GOOD, rule_key="good"), "test_the_offer_is_valid", "a rule cannot configure it"),
        (
            replace(GOOD, build=lambda config, context: None),
            "test_build_is_a_function_of_the_module",
            "function of the m",
        ),
        (replace(GOOD, config=Undescribed), "test_every_field_is_described", "Inner.depth"),
        (replace(GOOD, config=Loose), "test_unknown_keys_are_refused", "extend gateway.Config"),
        (replace(GOOD, config=Changeable), "test_equal_configurations_are_equal", "can be changed"),
        (replace(GOOD, config=KeepsObjects), "test_equal_configurations_are_equal", "is not equal"),
        (replace(GOOD, config=WritesOtherwise), "test_configurations_survive_being_written", "'more'"),
        (replace(GOOD, config=PlainSecret), "test_secrets_are_masked", "PlainSecret.apiToken|PlainSecret.api_token"),
        (replace(GOOD, config=PlainSecrets), "test_secrets_are_masked", "PlainSecrets.tokens"),
        (replace(GOOD, config=NamedSecrets), "test_secrets_are_masked", "^$"),
        (replace(GOOD, config=Tells), "test_secrets_are_masked", "1 of its secrets"),
    ],
)
def test_it_is_caught(offer, check, said):
    assert re.search(said, breach(OfferContract, offer, check))


class Needy(GoodConfig):
    place: str = Field(description="Where.")


class NeedyContract(ComponentContract):
    plugin = replace(GOOD, config=Needy)


@pytest.mark.anyio
async def test_a_configuration_that_is_missing_is_asked_for():
    with pytest.raises(ValidationError, match="place") as refused:
        NeedyContract().test_secrets_are_masked()
    with pytest.raises(ValidationError, match="place") as not_built:
        await NeedyContract().test_its_life_leaves_nothing_behind()
    for caught in (refused, not_built):
        assert "'config' of the test class" in caught.value.__notes__[0]


def test_an_offer_by_itself_has_no_others():
    with pytest.raises(TypeError, match="'good' is an offer by itself"):
        OfferContract().offered(ObserverRegistration)


HEAVY = """
import h11
from typing import TYPE_CHECKING
from gateway import ObserverRegistration
from heavy_plugin.inner import build
if TYPE_CHECKING:
    import hypothesis
one = ObserverRegistration(name="one", summary="One", build=build)
two = ObserverRegistration(name="two", summary="Two", build=build)
"""
INNER = "import httptools, json\n\ndef build(config, context):\n    import uvloop\n    return object()\n"


@pytest.fixture
def heavy_plugin(tmp_path, monkeypatch):
    package = tmp_path / "heavy_plugin"
    package.mkdir()
    for name, text in {"__init__": "", "plugin": HEAVY, "inner": INNER}.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)


def test_a_module_that_imports_libraries_is_caught(heavy_plugin):
    class Contract(ComponentContract):
        plugin = "heavy_plugin.plugin"
        offer = "two"

    assert Contract().registration.name == "two"
    with pytest.raises(AssertionError, match=r"heavy_plugin.plugin imports h11, httptools; import it in build"):
        Contract().test_the_module_imports_nothing_heavy()


def test_one_of_several_offers_must_be_named(heavy_plugin):
    class Contract(ComponentContract):
        plugin = "heavy_plugin.plugin"

    with pytest.raises(AssertionError, match=r"\['one', 'two'\] of this kind; say which one by 'offer'"):
        _ = Contract().registration
