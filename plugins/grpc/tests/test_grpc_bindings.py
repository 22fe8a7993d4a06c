"""Which requests are bound to which methods, and which of their parts to which fields."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from gateway import GatewayError
from gateway_grpc.config import GrpcConfig
from gateway_grpc.descriptors.schema import DescriptorError
from gateway_grpc.transcoding.paths import PathMappings
from gateway_grpc.transcoding.template import TemplateError, parse_template
from gateway_grpc.transcoding.transcoder import Transcoder

if TYPE_CHECKING:
    from gateway_grpc.descriptors.schema import Schema


def bound(schema: Schema, request: str, body: bytes = b"", **config: Any) -> tuple[str, dict[str, Any]]:
    """Return the method that a request is bound to, and its message."""
    http_method, _, target = request.partition(" ")
    path, _, query = target.partition("?")
    transcoder = Transcoder(schema, GrpcConfig(**config))
    match = transcoder.router.find(http_method, path)
    message = match.binding.method.request.FromString(transcoder.reader.read(match, body, query))
    return match.binding.method.name.rpartition(".")[2], json_format.MessageToDict(message, descriptor_pool=schema.pool)


def refusal(schema: Schema, request: str, body: bytes = b"", **config: Any) -> str:
    with pytest.raises(GatewayError) as caught:
        bound(schema, request, body, **config)
    return f"{caught.value.type.status} {caught.value.message}"


# google.api.http


@pytest.mark.parametrize(
    ("request_line", "body", "method", "message"),
    [
        ("GET /v1/shelves/1/books/2", b"", "GetBook", {"name": "shelves/1/books/2"}),
        ("GET /v1/shelves/a%20b/books/%C3%A9", b"", "GetBook", {"name": "shelves/a b/books/é"}),
        ("GET /v1/shelves/a%2Fb/books/c", b"", "GetBook", {"name": "shelves/a%2Fb/books/c"}),
        ("GET /v1/books/Austen/474", b"", "GetBook", {"author": {"name": "Austen"}, "pageCount": 474}),
        ("GET /v1/tags/a:b", b"", "GetBook", {"name": "a:b"}),
        ("GET /v1/tags/a%2Fb", b"", "GetBook", {"name": "a/b"}),
        ("PURGE /v1/purge/1", b"", "GetBook", {"name": "1"}),
        ("PUT /v1/files/a/b/c", b'{"name": "A"}', "PutBook", {"name": "files/a/b/c", "author": {"name": "A"}}),
        ("PUT /v1/files", b"", "PutBook", {"name": "files"}),
        ("POST /v1/shelves/1:import", b'{"name": "x", "isbn": 2}', "PutBook", {"name": "shelves/1", "isbn": "2"}),
        ("POST /v1/shelves?name=a&tags=x&tags=y", b'{"born": 1775}', "PutBook",
         {"name": "a", "tags": ["x", "y"], "author": {"born": 1775}}),
        ("POST /library.v1.Library/Echo", b'{"name": "x"}', "Echo", {"name": "x"}),
    ],
)  # fmt: skip
def test_annotations(schema: Schema, request_line: str, body: bytes, method: str, message: dict[str, Any]) -> None:
    assert bound(schema, request_line, body) == (method, message)


@pytest.mark.parametrize(
    ("request_line", "said"),
    [
        ("GET /v1/nothing", "404 no method"),
        ("GET /v1/shelves//books/2", "404 no method"),
        ("GET /v1/shelves/1/books/2:burn/x", "404 no method"),
        ("DELETE /v1/shelves/1/books/2", "405 DELETE is not bound"),
        ("POST /v1/shelves/1:export", "404 no method"),
        ("GET /v1/books/Austen/many", "400 'page_count' cannot have this value"),
        ("GET /v1/tags/%FF", "400 the path is no UTF-8"),
        ("PUT /library.v1.Library/Echo", "405 PUT is not bound"),
    ],
)
def test_paths_that_are_not_bound(schema: Schema, request_line: str, said: str) -> None:
    assert said in refusal(schema, request_line)


def test_annotations_may_be_left_out(schema: Schema) -> None:
    assert "404" in refusal(schema, "GET /v1/tags/a", http_annotations=False)


def test_annotations_that_are_impossible_are_logged_and_left_out(
    descriptors: Any, caplog: pytest.LogCaptureFixture
) -> None:
    text = descriptors.text.replace("/v1/tags/{name}", "/v1/tags/{nme}").replace("/v1/isbn/{name}", "/v1/{a=**}/b")
    with caplog.at_level(logging.WARNING):
        schema = descriptors.schema(descriptors.set(text))
        assert bound(schema, "GET /v1/author/x")[0] == "GetBook"
    assert "google.api.http of library.v1.Library.GetBook is left out" in caplog.text
    assert "has no field 'nme'" in caplog.text
    assert "'**' must come last" in caplog.text


# Queries.


def test_fields_of_all_kinds_come_from_a_query(schema: Schema) -> None:
    query = (
        "page_count=1&isbn=9780141439587&tags=a&tags=b&kind=NOVEL&kinds=POEM&kinds=1&author.name=Jane&author.born=1775"
        "&printed=2024-02-29T12:00:00Z&cover=-_8&isLent=true&price=1.5&rating=5&isRare=false&readIn=1.5s&mask=a,bC"
    )
    assert bound(schema, f"GET /v1/tags/x?{query}")[1] == {
        "name": "x",
        "pageCount": 1,
        "isbn": "9780141439587",
        "tags": ["a", "b"],
        "kind": "NOVEL",
        "kinds": ["POEM", "NOVEL"],
        "author": {"name": "Jane", "born": 1775},
        "printed": "2024-02-29T12:00:00Z",
        "cover": "+/8=",
        "isLent": True,
        "price": 1.5,
        "rating": 5,
        "isRare": False,
        "readIn": "1.500s",
        "mask": "a,bC",
    }


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("nme=x", "library.v1.Book has no field 'nme'"),
        ("author.nme=x", "library.v1.Author has no field 'nme'"),
        ("name=x", "'name' is in the path already"),
        ("author=x", "'author' is a whole message"),
        ("extra=x", "'extra' is a whole message"),
        ("tags.x=1", "'tags' has no fields"),
        ("isbn.x=1", "'isbn' has no fields"),
        ("pageCount=1&page_count=2", "'page_count' is there twice"),
        ("pageCount=1.0", "'page_count' cannot have this value"),
        ("pageCount=99999999999", "'page_count' cannot have this value"),
        ("pageCount=%F0%9F", "cannot be read"),
        ("kind=OPERA", "'kind' cannot have this value"),
        ("isLent=1", "'is_lent' cannot have this value"),
        ("price=one", "'price' cannot have this value"),
        ("cover=!", "'cover' cannot have this value"),
        ("printed=now", "'printed' cannot have this value"),
        ("isRare=yes", "'is_rare' cannot have this value"),
        ("&".join(["sequel"] * 1) + ".sequel" * 20 + "=1", "10 messages deep"),
        ("&".join("tags=a" for _ in range(1001)), "cannot be read"),
    ],
)
def test_queries_that_are_no_fields_are_refused(schema: Schema, query: str, said: str) -> None:
    message = refusal(schema, f"GET /v1/tags/x?{query}")
    assert message.startswith("400")
    assert said in message


def test_parameters_may_be_ignored(schema: Schema) -> None:
    assert bound(schema, "GET /v1/tags/x?key=secret", ignored_query_parameters=["key"])[1] == {"name": "x"}
    assert bound(schema, "GET /v1/tags/x?key=secret", ignore_unknown_fields=True)[1] == {"name": "x"}
    assert "but the body is the whole message" in refusal(schema, "POST /library.v1.Library/Echo?name=x")


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=4))
def test_no_query_is_an_error_of_the_gateway(schema: Schema, parameters: dict[str, str]) -> None:
    query = "&".join(f"{quote(name)}={quote(value)}" for name, value in parameters.items())
    with contextlib.suppress(GatewayError):
        bound(schema, f"GET /v1/tags/x?{query}")


# transcodingRules and pathMappings.


def test_rules_of_the_operator(schema: Schema) -> None:
    rules: dict[str, Any] = {
        "GET /books/{name}": "GetBook",
        "POST /books": "library.v1.Library/PutBook",
        "PATCH /books/{name}": {"method": "Library.PutBook", "body": "author"},
        "DELETE /v1/tags/{name}": "library.v1.Library.Echo",
    }
    assert bound(schema, "GET /books/Emma?pageCount=3", transcoding_rules=rules)[1] == {"name": "Emma", "pageCount": 3}
    assert bound(schema, "POST /books", b'{"name": "a"}', transcoding_rules=rules) == ("PutBook", {"name": "a"})
    patched = bound(schema, "PATCH /books/Emma", b'{"name": "Jane"}', transcoding_rules=rules)
    assert patched == ("PutBook", {"name": "Emma", "author": {"name": "Jane"}})
    assert bound(schema, "DELETE /v1/tags/x", transcoding_rules=rules)[0] == "Echo"


def test_rules_go_before_annotations(schema: Schema) -> None:
    assert bound(schema, "GET /v1/tags/x", transcoding_rules={"GET /v1/tags/{name}": "Echo"})[0] == "Echo"


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"GET /x": "Burn"}, "no service has a method 'Burn'; the descriptors have /library.v1.Library/Chat"),
        ({"FETCH /x": "Echo"}, "'FETCH /x' is no request"),
        ({"/x": "Echo"}, "'/x' is no request"),
        ({"GET /x/{nme}": "Echo"}, "library.v1.Book has no field 'nme'"),
        ({"GET /x/{tags}": "Echo"}, "must take one value"),
        ({"GET /x/{name": "Echo"}, "lonely brace"),
        ({"GET /x": {"method": "Echo", "body": "nme"}}, "has no field 'nme'"),
        ({"GET /x": {"method": "Echo", "responseBody": "nme"}}, "has no field 'nme'"),
        ({"GET /x/{name}": "Echo", "get /x/{isbn}": "Echo"}, "is there twice"),
    ],
)
def test_rules_that_are_impossible_are_refused(schema: Schema, rules: dict[str, Any], said: str) -> None:
    with pytest.raises(DescriptorError) as caught:
        Transcoder(schema, GrpcConfig(transcoding_rules=rules))
    assert said in str(caught.value)


def test_a_name_that_may_be_several_methods_is_refused(descriptors: Any) -> None:
    other = descriptors.text.replace("library", "museum").replace("Library", "Museum")
    schema = descriptors.schema(descriptors.set(descriptors.text, other))
    with pytest.raises(DescriptorError, match="write the whole name"):
        schema.find("Echo")
    assert schema.find("Echo", "museum.v1.Museum").path == "/museum.v1.Museum/Echo"
    assert schema.find("Echo", "Museum").path == "/museum.v1.Museum/Echo"


def test_beginnings_of_paths_are_replaced() -> None:
    mappings = PathMappings({"/api": "/a.A", "/api/users/": "users.v1.UserService"})
    assert mappings.apply("/api/users/GetUser") == "/users.v1.UserService/GetUser"
    assert mappings.apply("/api/usersX") == "/a.A/usersX"
    assert mappings.apply("/api") == "/a.A"
    assert mappings.apply("/other") == "/other"
    assert PathMappings({"/": "/a.A"}).apply("/Get") == "/a.A/Get"


# Templates.


@pytest.mark.parametrize(
    "text",
    ["", "v1", "/", "/a//b", "/a/", "/{}", "/{a", "/a}", "/{a=}", "/{a}b", "/**/b", "/{a=**}/b", "/{a=b**}", "/{a.}",
     "/{a}/{a}", "/{a={b}}", "/a*", "/" + "/".join("x" * 65)],
)  # fmt: skip
def test_what_is_no_template(text: str) -> None:
    with pytest.raises(TemplateError):
        parse_template(text)


@given(st.text(alphabet="/{}=*:ab.", max_size=20))
def test_any_text_is_a_template_or_not(text: str) -> None:
    try:
        template = parse_template(f"/{text}")
    except TemplateError:
        return
    assert template.segments
    assert all(0 <= variable.start < len(template.segments) for variable in template.variables)
