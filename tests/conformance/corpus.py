"""Malformed and ambiguous requests, as data.

Each stands for a way in which two parsers of HTTP could disagree about where a request ends, what it asks for, or whom
it is meant for. A gateway answers with a refusal and closes the connection; nothing may reach a service.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CASES", "MAX_BODY_BYTES", "MAX_HEADERS", "MAX_HEADER_BYTES", "MAX_URI_BYTES", "Case"]

MAX_BODY_BYTES = 4096
MAX_HEADERS = 100
MAX_HEADER_BYTES = 32768
MAX_URI_BYTES = 8192

BAD = frozenset({400})
CODING = frozenset({400, 501})
"""An unknown transfer coding deserves 501, a malformed one 400 (RFC 9112 section 6.1); both are safe."""
METHOD = frozenset({400, 501})
VERSION = frozenset({400, 505})
LARGE_BODY = frozenset({413})
LONG_URI = frozenset({414})
LARGE_HEAD = frozenset({431})


@dataclass(frozen=True)
class Case:
    """A request that is not to be believed.

    Attributes:
        name: What is wrong with it.
        data: Its bytes.
        statuses: The answers that are right. If 200 is among them the request may also be taken, as exactly one.
        section: Where it is written.
        is_late: The fault is behind the head, so that a service may have seen the beginning of the request, but never a
            whole one.
        is_framed: It is clear where the request ends, only its path is refused: the connection may stay open.
        is_hopeless: No HTTP at all: closing without an answer is right, too.
    """

    name: str
    data: bytes
    statuses: frozenset[int]
    section: str
    is_late: bool = False
    is_framed: bool = False
    is_hopeless: bool = False


def request(
    *fields: bytes,
    line: bytes = b"POST /x HTTP/1.1",
    body: bytes = b"",
    host: bytes | None = b"Host: gw",
) -> bytes:
    """Return a request with these field lines, and a Host unless it is ``None``."""
    lines = [line, *([] if host is None else [host]), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def get(*fields: bytes, line: bytes = b"GET /x HTTP/1.1", host: bytes | None = b"Host: gw") -> bytes:
    """Return a GET request with these field lines."""
    return request(*fields, line=line, host=host)


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: gw\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked"
END_CHUNK = b"0\r\n\r\n"


def _conflicts() -> list[Case]:
    section = "RFC 9112 6.1, 6.3"
    te_end = END_CHUNK + SMUGGLED
    length = b"Content-Length: %d" % len(te_end)
    bodies = {
        "CL then TE": request(length, CHUNKED, body=te_end),
        "TE then CL": request(CHUNKED, length, body=te_end),
        "CL 0 then TE": request(b"Content-Length: 0", CHUNKED, body=te_end),
        "TE then CL 0": request(CHUNKED, b"Content-Length: 0", body=te_end),
        "CL then TE that agree": request(b"Content-Length: 5", CHUNKED, body=END_CHUNK),
        "TE then CL that agree": request(CHUNKED, b"Content-Length: 5", body=END_CHUNK),
        "CL with TE identity": request(b"Content-Length: 3", b"Transfer-Encoding: identity", body=b"abc"),
        "TE identity with CL": request(b"Transfer-Encoding: identity", b"Content-Length: 3", body=b"abc"),
        "CL with TE xchunked": request(b"Content-Length: 3", b"Transfer-Encoding: xchunked", body=b"abc"),
        "CL with empty TE": request(b"Content-Length: 3", b"Transfer-Encoding:", body=b"abc"),
        "empty TE with CL": request(b"Transfer-Encoding:", b"Content-Length: 3", body=b"abc"),
        "GET with CL and TE": request(length, CHUNKED, line=b"GET /x HTTP/1.1", body=te_end),
        "lower-case CL and TE": request(b"content-length: 5", b"transfer-encoding: chunked", body=END_CHUNK),
        "upper-case CL and TE": request(b"CONTENT-LENGTH: 5", b"TRANSFER-ENCODING: CHUNKED", body=END_CHUNK),
        "fields between CL and TE": request(b"Content-Length: 5", b"X-A: b", b"X-C: d", CHUNKED, body=END_CHUNK),
        "upgrade with CL and TE": request(
            b"Connection: upgrade", b"Upgrade: websocket", b"Content-Length: 5", CHUNKED, body=END_CHUNK
        ),
        "TE nominated by Connection, with CL": request(
            b"Connection: Transfer-Encoding", CHUNKED, b"Content-Length: 5", body=END_CHUNK
        ),
    }
    return [Case(f"conflict: {name}", data, CODING, section) for name, data in bodies.items()]


def _lengths() -> list[Case]:
    section = "RFC 9110 8.6"
    values = {
        "plus sign": b"+3",
        "minus sign": b"-3",
        "minus zero": b"-0",
        "list of equals": b"3, 3",
        "list of different": b"3, 4",
        "list without space": b"3,3",
        "hexadecimal": b"0x3",
        "hexadecimal digits": b"a",
        "octal prefix": b"0o3",
        "empty": b"",
        "spaces only": b"   ",
        "space between digits": b"3 3",
        "tab between digits": b"3\t3",
        "decimal point": b"3.0",
        "exponent": b"3e0",
        "underscore": b"1_0",
        "quoted": b'"3"',
        "semicolon": b"3;",
        "letters behind": b"3abc",
        "word": b"three",
        "comma before": b",3",
        "comma behind": b"3,",
        "20 digits": b"99999999999999999999",
        "2 to the 64": b"18446744073709551616",
        "2 to the 64 and 3": b"18446744073709551619",
        "500 digits": b"9" * 500,
        "vertical tab before": b"\x0b3",
        "form feed before": b"\x0c3",
        "no-break space": b"\xa03",
        "full-width digit": "\uff13".encode(),
        "arabic digit": "\u0663".encode(),
        "NUL behind": b"3\0",
    }
    cases = [
        Case(f"length: {name}", request(b"Content-Length: " + value, body=b"abc"), BAD, section)
        for name, value in values.items()
    ]
    repeated = {
        "repeated equal": (b"Content-Length: 3", b"Content-Length: 3"),
        "repeated different": (b"Content-Length: 3", b"Content-Length: 0"),
        "repeated different, smaller first": (b"Content-Length: 0", b"Content-Length: 3"),
        "repeated in other case": (b"Content-Length: 3", b"content-length: 3"),
        "repeated, second empty": (b"Content-Length: 3", b"Content-Length:"),
        "repeated, far apart": (b"Content-Length: 3", b"X-A: b", b"X-C: d", b"Content-Length: 4"),
        "three times": (b"Content-Length: 3",) * 3,
        "space before colon": (b"Content-Length : 3",),
        "tab before colon": (b"Content-Length\t: 3",),
        "vertical tab before colon": (b"Content-Length\x0b: 3",),
        "NUL in name": (b"Content\0-Length: 3",),
        "folded": (b"Content-Length:\r\n 3",),
        "in a folded line": (b"X-A: b\r\n Content-Length: 3",),
        "space before name": (b"X-A: b", b" Content-Length: 3"),
        "behind bare CR": (b"X-A: b\rContent-Length: 3",),
        "behind bare LF": (b"X-A: b\nContent-Length: 3",),
    }
    cases += [
        Case(f"length: {name}", request(*fields, body=b"abc"), BAD, "RFC 9112 5, 6.3")
        for name, fields in repeated.items()
    ]
    cases.append(
        Case("length: leading zeros", request(b"Content-Length: 0003", body=b"abc"), frozenset({200, 400}), section)
    )
    return cases


def _codings() -> list[Case]:
    section = "RFC 9112 6.1, 7"
    values = {
        "xchunked": b"xchunked",
        "chunkedx": b"chunkedx",
        "chunk": b"chunk",
        "identity": b"identity",
        "gzip": b"gzip",
        "gzip, chunked": b"gzip, chunked",
        "chunked, gzip": b"chunked, gzip",
        "chunked, identity": b"chunked, identity",
        "identity, chunked": b"identity, chunked",
        "chunked, chunked": b"chunked, chunked",
        "chunked,": b"chunked,",
        ", chunked": b", chunked",
        "quoted": b'"chunked"',
        "single quotes": b"'chunked'",
        "parameter": b"chunked;q=1",
        "parameter with space": b"chunked ; foo=bar",
        "two words": b"chunked foo",
        "empty": b"",
        "vertical tab before": b"\x0bchunked",
        "vertical tab behind": b"chunked\x0b",
        "form feed before": b"\x0cchunked",
        "NUL behind": b"chunked\0",
        "no-break space before": b"\xa0chunked",
        "space within": b"chun ked",
        "bare CR behind": b"chunked\r\r",
        "bracketed": b"<chunked>",
        "braced": b"{chunked}",
        "kelvin sign": "chun\u212aed".encode(),
    }
    cases = [
        Case(f"coding: {name}", request(b"Transfer-Encoding: " + value, body=END_CHUNK + SMUGGLED), CODING, section)
        for name, value in values.items()
    ]
    fields = {
        "twice chunked": (CHUNKED, CHUNKED),
        "chunked then identity": (CHUNKED, b"Transfer-Encoding: identity"),
        "identity then chunked": (b"Transfer-Encoding: identity", CHUNKED),
        "gzip then chunked": (b"Transfer-Encoding: gzip", CHUNKED),
        "chunked then gzip": (CHUNKED, b"Transfer-Encoding: gzip"),
        "chunked then empty": (CHUNKED, b"Transfer-Encoding:"),
        "space before colon": (b"Transfer-Encoding : chunked",),
        "tab before colon": (b"Transfer-Encoding\t: chunked",),
        "vertical tab before colon": (b"Transfer-Encoding\x0b: chunked",),
        "NUL before colon": (b"Transfer-Encoding\0: chunked",),
        "folded": (b"Transfer-Encoding:\r\n chunked",),
        "folded by tab": (b"Transfer-Encoding:\r\n\tchunked",),
        "space before name": (b"X-A: b", b" Transfer-Encoding: chunked"),
        "behind bare CR": (b"X-A: b\rTransfer-Encoding: chunked",),
        "behind bare LF": (b"X-A: b\nTransfer-Encoding: chunked",),
        "name ended by bare CR": (b"Transfer-Encoding\r: chunked",),
    }
    cases += [
        Case(f"coding: {name}", request(*lines, body=END_CHUNK + SMUGGLED), CODING, section)
        for name, lines in fields.items()
    ]
    cases += [
        Case(
            "coding: in HTTP/1.0",
            request(CHUNKED, line=b"POST /x HTTP/1.0", body=END_CHUNK),
            BAD,
            "RFC 9112 6.1",
        ),
        Case(
            "coding: in HTTP/1.0 with keep-alive",
            request(CHUNKED, b"Connection: keep-alive", line=b"POST /x HTTP/1.0", body=END_CHUNK + SMUGGLED),
            BAD,
            "RFC 9112 6.1",
        ),
        Case(
            "coding: upper case and padding",
            request(b"Transfer-Encoding: \t CHUNKED \t ", body=END_CHUNK),
            frozenset({200, 400}),
            "RFC 9112 7",
        ),
        Case(
            # An unknown field name, not a coding: with no length there is no body, and the rest is a request.
            "coding: underscore in the name",
            request(b"Transfer_Encoding: chunked"),
            frozenset({200, 400}),
            "RFC 9110 5.1",
        ),
    ]
    return cases


def _heads() -> list[Case]:
    lines = {
        "bare LF everywhere": b"GET /x HTTP/1.1\nHost: gw\n\n",
        "bare LF behind the request line": b"GET /x HTTP/1.1\nHost: gw\r\n\r\n",
        "bare LF behind a field": b"GET /x HTTP/1.1\r\nHost: gw\nX-A: b\r\n\r\n",
        "bare LF before the body": b"GET /x HTTP/1.1\r\nHost: gw\r\n\n",
        "bare CR everywhere": b"GET /x HTTP/1.1\rHost: gw\r\r",
        "bare CR behind the request line": b"GET /x HTTP/1.1\rHost: gw\r\n\r\n",
        "bare CR in a value": get(b"X-A: b\rc"),
        "bare CR before a value": get(b"X-A:\rb"),
        "bare CR in a name": get(b"X\r-A: b"),
        "two CR before LF": b"GET /x HTTP/1.1\r\nHost: gw\r\r\n\r\n",
        "LF before CR": b"GET /x HTTP/1.1\n\rHost: gw\r\n\r\n",
        "folded by a space": get(b"X-A: b\r\n c"),
        "folded by a tab": get(b"X-A: b\r\n\tc"),
        "folded with nothing": get(b"X-A: b\r\n "),
        "folded Host": b"GET /x HTTP/1.1\r\nHost:\r\n gw\r\n\r\n",
        "folded first line": b"GET /x HTTP/1.1\r\n Host: gw\r\n\r\n",
        "space before the first name": b"GET /x HTTP/1.1\r\n X-A: b\r\nHost: gw\r\n\r\n",
        "NUL in a name": get(b"X\0A: b"),
        "NUL in a value": get(b"X-A: b\0c"),
        "NUL as a value": get(b"X-A: \0"),
        "control byte 01 in a value": get(b"X-A: b\x01c"),
        "backspace in a value": get(b"X-A: b\x08c"),
        "escape in a value": get(b"X-A: \x1b[31m"),
        "vertical tab in a value": get(b"X-A: b\x0bc"),
        "form feed in a value": get(b"X-A: b\x0cc"),
        "DEL in a value": get(b"X-A: b\x7fc"),
        "control byte in a name": get(b"X\x01A: b"),
        "DEL in a name": get(b"X\x7fA: b"),
        "space before the colon": get(b"X-A : b"),
        "tab before the colon": get(b"X-A\t: b"),
        "space before Host's colon": b"GET /x HTTP/1.1\r\nHost : gw\r\n\r\n",
        "no colon": get(b"X-A"),
        "no colon but a value": get(b"X-A b"),
        "empty name": get(b": b"),
        "only a colon": get(b":"),
        "space in a name": get(b"X A: b"),
        "parenthesis in a name": get(b"X(A): b"),
        "slash in a name": get(b"X/A: b"),
        "at sign in a name": get(b"X@A: b"),
        "quotes in a name": get(b'"X-A": b'),
        "brackets in a name": get(b"X[A]: b"),
        "braces in a name": get(b"{X-A}: b"),
        "comma in a name": get(b"X,A: b"),
        "equals sign in a name": get(b"X=A: b"),
        "backslash in a name": get(b"X\\A: b"),
        "question mark in a name": get(b"X?A: b"),
        "UTF-8 in a name": get("X-\u00c4: b".encode()),
        "byte FF in a name": get(b"X\xffA: b"),
    }
    return [Case(f"head: {name}", data, BAD, "RFC 9112 2.2, 5; RFC 9110 5") for name, data in lines.items()]


def _chunks() -> list[Case]:
    bodies = {
        "0x before the size": b"0x3\r\nabc\r\n0\r\n\r\n",
        "negative size": b"-3\r\nabc\r\n0\r\n\r\n",
        "size with plus": b"+3\r\nabc\r\n0\r\n\r\n",
        "space before the size": b" 3\r\nabc\r\n0\r\n\r\n",
        "space behind the size": b"3 \r\nabc\r\n0\r\n\r\n",
        "tab behind the size": b"3\t\r\nabc\r\n0\r\n\r\n",
        "space within the size": b"1 0\r\nabc\r\n0\r\n\r\n",
        "no size": b"\r\nabc\r\n0\r\n\r\n",
        "size that is a word": b"three\r\nabc\r\n0\r\n\r\n",
        "size g": b"g\r\nabc\r\n0\r\n\r\n",
        "size with underscore": b"1_0\r\nabc\r\n0\r\n\r\n",
        "size 2 to the 64 and 3": b"10000000000000003\r\nabc\r\n0\r\n\r\n",
        "size of 40 digits": b"f" * 40 + b"\r\nabc\r\n0\r\n\r\n",
        "NUL behind the size": b"3\0\r\nabc\r\n0\r\n\r\n",
        "LF behind the size": b"3\nabc\r\n0\r\n\r\n",
        "CR behind the size": b"3\rabc\r\n0\r\n\r\n",
        "two CR behind the size": b"3\r\r\nabc\r\n0\r\n\r\n",
        "LF behind the data": b"3\r\nabc\n0\r\n\r\n",
        "CR behind the data": b"3\r\nabc\r0\r\n\r\n",
        "nothing behind the data": b"3\r\nabc0\r\n\r\n",
        "data longer than the size": b"3\r\nabcd\r\n0\r\n\r\n",
        "data shorter than the size": b"4\r\nabc\r\n0\r\n\r\n",
        "two CRLF behind the data": b"3\r\nabc\r\n\r\n0\r\n\r\n",
        "LF behind the last size": b"3\r\nabc\r\n0\n\r\n",
        "LF behind the trailers": b"3\r\nabc\r\n0\r\n\n",
        "last chunk 0x0": b"3\r\nabc\r\n0x0\r\n\r\n",
        "last chunk followed by junk": b"3\r\nabc\r\n0\r\nX\r\n\r\n",
        "extension without semicolon": b"3 a=b\r\nabc\r\n0\r\n\r\n",
        "extension with LF": b"3;a=b\nabc\r\n0\r\n\r\n",
        "extension with bare CR": b"3;a=\rb\r\nabc\r\n0\r\n\r\n",
        "extension with NUL": b"3;a=\0\r\nabc\r\n0\r\n\r\n",
        "extension with a control byte": b"3;a=\x01\r\nabc\r\n0\r\n\r\n",
        "extension with an open quote": b'3;a="b\r\nabc\r\n0\r\n\r\n',
        "trailer without colon": b"3\r\nabc\r\n0\r\nX-A b\r\n\r\n",
        "trailer with empty name": b"3\r\nabc\r\n0\r\n: b\r\n\r\n",
        "trailer with space before the colon": b"3\r\nabc\r\n0\r\nX-A : b\r\n\r\n",
        "trailer folded": b"3\r\nabc\r\n0\r\nX-A: b\r\n c\r\n\r\n",
        "trailer with NUL": b"3\r\nabc\r\n0\r\nX-A: \0\r\n\r\n",
        "trailer with bare LF": b"3\r\nabc\r\n0\r\nX-A: b\nX-C: d\r\n\r\n",
        "trailer with bare CR": b"3\r\nabc\r\n0\r\nX-A: b\rX-C: d\r\n\r\n",
    }
    cases = [
        Case(f"chunk: {name}", request(CHUNKED, body=body), BAD, "RFC 9112 7.1", is_late=True)
        for name, body in bodies.items()
    ]
    flood = b"".join(b"X-%d: y\r\n" % number for number in range(500))
    large = {
        "extension of 40 KB": (b"3;a=" + b"b" * 40_000 + b"\r\nabc\r\n0\r\n\r\n", frozenset({400, 413, 431})),
        "long extensions on every byte": (
            (b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 100 + END_CHUNK,
            frozenset({400, 413, 431}),
        ),
        "trailers of 40 KB": (
            b"3\r\nabc\r\n0\r\nX-A: " + b"b" * 40_000 + b"\r\n\r\n",
            frozenset({400, 413, 431}),
        ),
        "500 trailers": (b"3\r\nabc\r\n0\r\n" + flood + b"\r\n", frozenset({400, 413, 431})),
    }
    cases += [
        Case(f"chunk: {name}", request(CHUNKED, body=body), statuses, "RFC 9112 7.1.1", is_late=True)
        for name, (body, statuses) in large.items()
    ]
    return cases


def _targets() -> list[Case]:
    targets = {
        "no slash": b"x",
        "relative": b"x/y",
        "dot": b".",
        "question mark only": b"?a=b",
        "fragment": b"/x#y",
        "fragment in the query": b"/x?a=b#c",
        "non-ASCII": "/\u00e4".encode(),
        "byte FF": b"/\xff",
        "non-ASCII in the query": "/x?q=\u00e4".encode(),
        "NUL": b"/x\0y",
        "control byte": b"/x\x01y",
        "DEL": b"/x\x7fy",
        "tab": b"/x\ty",
        "bare CR": b"/x\ry",
        "bare LF": b"/x\ny",
        "authority-form with GET": b"gw:80",
        "authority-form without port": b"gw",
        "asterisk with GET": b"*",
        "asterisk and path": b"*/x",
        "absolute-form, another host": b"http://other/x",
        "absolute-form, another port": b"http://gw:81/x",
        "absolute-form, empty host": b"http:///x",
        "absolute-form, userinfo": b"http://gw@other/x",
        "absolute-form, userinfo of this host": b"http://user@gw/x",
        "absolute-form, password": b"http://user:pass@gw/x",
        "absolute-form, fragment": b"http://gw/x#y",
        "absolute-form, unknown scheme": b"gopher://gw/x",
        "absolute-form, file": b"file:///etc/passwd",
        "absolute-form, one slash": b"http:/gw/x",
        "absolute-form, backslash in the authority": b"http://gw\\@other/x",
        "absolute-form, port too large": b"http://gw:99999999/x",
        "encoded NUL": b"/x%00",
        "encoded NUL inside": b"/a%00b/c",
        "encoded CR LF": b"/x%0d%0aX-A:%20b",
        "encoded slash": b"/a%2fb",
        "encoded slash, upper case": b"/a%2Fb",
        "encoded backslash": b"/a%5cb",
        "backslash": b"/a\\b",
        "backslash dots": b"/a\\..\\b",
        "dots above the root": b"/../x",
        "dots above the root, later": b"/a/../../x",
        "encoded dots above the root": b"/%2e%2e/x",
        "half-encoded dots": b"/a/.%2e/%2e./../x",
        "dots behind an encoded slash": b"/a%2f..%2f..%2fx",
        "dots with a parameter": b"/a/..;/b",
        "dots with a named parameter": b"/a/..;x=y/b",
        "dots with an encoded semicolon": b"/a/..%3b/b",
        "doubled encoding of dots at the root": b"/..%252fx/../../y",
        "escape without digits": b"/x%",
        "escape with one digit": b"/x%2",
        "escape with letters": b"/x%zz",
        "unicode escape": b"/x%u002e",
        "overlong slash": b"/a%c0%afb",
        "overlong dots": b"/%c0%ae%c0%ae/x",
        "overlong slash of three bytes": b"/a%e0%80%afb",
    }
    cases = [
        Case(
            f"target: {name}",
            get(line=b"GET " + target + b" HTTP/1.1"),
            BAD,
            "RFC 9112 3.2; RFC 3986 3.3, 5.2.4",
            is_framed=target.startswith(b"/") and not any(byte in target for byte in b"#\0\x01\x7f\t\r\n"),
        )
        for name, target in targets.items()
    ]
    uri = b"/" + b"a" * MAX_URI_BYTES
    cases += [
        Case("target: empty", b"GET  HTTP/1.1\r\nHost: gw\r\n\r\n", BAD, "RFC 9112 3"),
        Case("target: one byte too long", get(line=b"GET " + uri + b" HTTP/1.1"), LONG_URI, "RFC 9110 15.5.15"),
        Case("target: query too long", get(line=b"GET /?" + uri + b" HTTP/1.1"), LONG_URI, "RFC 9110 15.5.15"),
        Case("target: 100 KB", get(line=b"GET " + uri * 12 + b" HTTP/1.1"), LONG_URI, "RFC 9110 15.5.15"),
    ]
    return cases


def _hosts() -> list[Case]:
    section = "RFC 9112 3.2"
    hosts = {
        "space inside": b"g w",
        "tab inside": b"g\tw",
        "slash": b"gw/x",
        "path above": b"gw/../x",
        "userinfo": b"user@gw",
        "comma and space": b"gw, other",
        "question mark": b"gw?x",
        "fragment": b"gw#x",
        "backslash": b"gw\\x",
        "port that is a word": b"gw:http",
        "negative port": b"gw:-1",
        "two ports": b"gw:80:80",
        "port with six digits": b"gw:999999",
        "open bracket": b"[::1",
        "closing bracket": b"::1]",
        "IPv6 without brackets": b"::1",
        "scheme": b"http://gw",
        "angle brackets": b"<gw>",
        "quoted": b'"gw"',
        "non-ASCII": "g\u00e4w".encode(),
        "control byte": b"g\x01w",
        "NUL": b"gw\0",
    }
    cases = [Case(f"host: {name}", get(host=b"Host: " + value), BAD, section) for name, value in hosts.items()]
    cases += [
        Case("host: missing", get(host=None), BAD, section),
        Case("host: missing, with a body", request(b"Content-Length: 3", host=None, body=b"abc"), BAD, section),
        Case("host: missing, with absolute-form", get(line=b"GET http://gw/x HTTP/1.1", host=None), BAD, section),
        Case("host: twice the same", get(b"Host: gw"), BAD, section),
        Case("host: twice, different", get(b"Host: other"), BAD, section),
        Case("host: twice, other case", get(b"HOST: gw"), BAD, section),
        Case("host: twice, second empty", get(b"Host:"), BAD, section),
        Case("host: twice with absolute-form", get(b"Host: x", line=b"GET http://gw/x HTTP/1.1"), BAD, section),
        Case("host: twice in HTTP/1.0", get(b"Host: other", line=b"GET /x HTTP/1.0"), BAD, section),
        Case("host: nominated by Connection, missing", get(b"Connection: host", host=None), BAD, section),
    ]
    return cases


def _lines() -> list[Case]:
    methods = {
        "unknown": (b"FROBNICATE", frozenset({501})),
        "lower case": (b"get", METHOD),
        "mixed case": (b"Get", METHOD),
        "with a digit": (b"GET1", METHOD),
        "a prefix of a known one": (b"GE", METHOD),
        "with NUL": (b"GE\0T", BAD),
        "with a control byte": (b"GE\x01T", BAD),
        "with a slash": (b"GE/T", BAD),
        "with a parenthesis": (b"GET(", BAD),
        "non-ASCII": ("G\u00cbT".encode(), BAD),
        "of 10 KB": (b"A" * 10_000, frozenset({400, 414, 431, 501})),
        "quoted": (b'"GET"', BAD),
        "PRI": (b"PRI", METHOD),
    }
    cases = [
        Case(f"method: {name}", get(line=method + b" /x HTTP/1.1"), statuses, "RFC 9110 9.1; RFC 9112 3")
        for name, (method, statuses) in methods.items()
    ]
    section = "RFC 9110 9.3.6"
    cases += [
        Case("method: CONNECT", b"CONNECT gw:443 HTTP/1.1\r\nHost: gw:443\r\n\r\n", METHOD, section),
        Case(
            "method: CONNECT with bytes behind it",
            b"CONNECT gw:443 HTTP/1.1\r\nHost: gw:443\r\n\r\n" + SMUGGLED,
            METHOD,
            section,
        ),
        Case("method: CONNECT with a path", get(line=b"CONNECT /x HTTP/1.1"), METHOD, section),
        Case(
            "method: CONNECT with a body",
            request(b"Content-Length: 3", line=b"CONNECT gw:443 HTTP/1.1", host=b"Host: gw:443", body=b"abc"),
            METHOD,
            section,
        ),
        Case(
            "method: TRACE with a body",
            request(b"Content-Length: 3", line=b"TRACE /x HTTP/1.1", body=b"abc"),
            frozenset({200, 400, 405, 501}),  # a client must not send one; a server may take it
            "RFC 9110 9.3.8",
        ),
    ]
    versions = {
        "1.2": b"HTTP/1.2",
        "1.9": b"HTTP/1.9",
        "2.0": b"HTTP/2.0",
        "2": b"HTTP/2",
        "3.0": b"HTTP/3.0",
        "0.9 spelt out": b"HTTP/0.9",
        "1.10": b"HTTP/1.10",
        "01.1": b"HTTP/01.1",
        "1": b"HTTP/1",
        "1.": b"HTTP/1.",
        "1,1": b"HTTP/1,1",
        "lower case": b"http/1.1",
        "mixed case": b"Http/1.1",
        "another protocol": b"RTSP/1.0",
        "ICE": b"ICE/1.0",
        "without slash": b"HTTP1.1",
        "space behind the slash": b"HTTP/ 1.1",
        "NUL behind": b"HTTP/1.1\0",
        "word behind": b"HTTP/1.1 x",
        "junk": b"junk",
        "hexadecimal digit": b"HTTP/1.a",
        "negative": b"HTTP/-1.1",
    }
    cases += [
        Case(f"version: {name}", get(line=b"GET /x " + version), VERSION, "RFC 9112 2.3; RFC 9110 2.5")
        for name, version in versions.items()
    ]
    request_lines = {
        "HTTP/0.9": b"GET /x",
        "HTTP/0.9 with a space": b"GET /x ",
        "two spaces before the target": b"GET  /x HTTP/1.1",
        "two spaces behind the target": b"GET /x  HTTP/1.1",
        "space behind the version": b"GET /x HTTP/1.1 ",
        "tab before the target": b"GET\t/x HTTP/1.1",
        "tab behind the target": b"GET /x\tHTTP/1.1",
        "space before the method": b" GET /x HTTP/1.1",
        "space in the target": b"GET /x y HTTP/1.1",
        "only a method": b"GET",
        "vertical tab": b"GET\x0b/x HTTP/1.1",
        "form feed": b"GET /x\x0cHTTP/1.1",
        "colon instead of a target": b"GET: /x HTTP/1.1",
        "byte order mark": b"\xef\xbb\xbfGET /x HTTP/1.1",
        "NUL before the method": b"\0GET /x HTTP/1.1",
    }
    statuses = frozenset({400, 501, 505})
    cases += [
        Case(f"line: {name}", get(line=line), statuses, "RFC 9112 3", is_hopeless=name.startswith("HTTP/0.9"))
        for name, line in request_lines.items()
    ]
    return cases


def _limits() -> list[Case]:
    section = "RFC 6585 5"
    large = b"x" * (MAX_BODY_BYTES + 1)
    chunk = b"%x\r\n%b\r\n" % (len(large), large)
    small_chunks = b"10\r\n0123456789abcdef\r\n" * (MAX_BODY_BYTES // 16 + 1)
    body_section = "RFC 9110 15.5.14"
    return [
        Case("limit: header flood", get(*[b"X-%d: y" % n for n in range(MAX_HEADERS + 1)]), LARGE_HEAD, section),
        Case("limit: 2,000 fields", get(*[b"X-%d: y" % n for n in range(2000)]), LARGE_HEAD, section),
        Case("limit: 2,000 times one field", get(*[b"X: y"] * 2000), LARGE_HEAD, section),
        Case("limit: huge field value", get(b"X-A: " + b"b" * MAX_HEADER_BYTES), LARGE_HEAD, section),
        Case("limit: huge field name", get(b"X" * MAX_HEADER_BYTES + b": b"), LARGE_HEAD, section),
        Case("limit: huge cookie", get(b"Cookie: " + b"a=b; " * 20_000), LARGE_HEAD, section),
        Case("limit: many large fields", get(*[b"X-%d: %b" % (n, b"y" * 900) for n in range(60)]), LARGE_HEAD, section),
        Case(
            "limit: declared body one byte too long",
            request(b"Content-Length: %d" % len(large), body=large),
            LARGE_BODY,
            body_section,
        ),
        Case("limit: declared body of 1 EB", request(b"Content-Length: 1%b" % (b"0" * 17)), LARGE_BODY, body_section),
        Case(
            "limit: declared too long, with Expect",
            request(b"Content-Length: %d" % len(large), b"Expect: 100-continue"),
            frozenset({413, 417}),
            body_section,
        ),
        Case(
            "limit: chunk one byte too long",
            request(CHUNKED, body=chunk + END_CHUNK),
            LARGE_BODY,
            body_section,
            is_late=True,
        ),
        Case(
            "limit: small chunks too long",
            request(CHUNKED, body=small_chunks + END_CHUNK),
            LARGE_BODY,
            body_section,
            is_late=True,
        ),
        Case(
            "limit: GET with too long a body",
            request(b"Content-Length: %d" % len(large), line=b"GET /x HTTP/1.1", body=large),
            LARGE_BODY,
            body_section,
        ),
        Case(
            "limit: unknown expectation",
            request(b"Expect: 200-maybe", b"Content-Length: 3", body=b"abc"),
            frozenset({200, 417}),
            "RFC 9110 10.1.1",
        ),
    ]


def _other_protocols() -> list[Case]:
    hello = bytes.fromhex("1603010060010000") + bytes(range(92)) + b"\r\n\r\n"
    protocols = {
        "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000"),
        "TLS client hello": hello,
        "SSLv2 client hello": bytes.fromhex("802e0100020015000000100100800200800300800400800500"),
        "SSH banner": b"SSH-2.0-OpenSSH_9.2\r\n",
        "PROXY protocol, version 1": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 80\r\n" + SMUGGLED,
        "PROXY protocol, version 2": bytes.fromhex("0d0a0d0a000d0a515549540a2111000c") + bytes(12) + SMUGGLED,
        "SMTP": b"EHLO gw\r\n",
        "Redis": b"*1\r\n$4\r\nPING\r\n",
        "NUL bytes": bytes(64),
        "high bytes": b"\xff" * 64,
        "spaces": b" " * 64,
        "a response": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    }
    statuses = frozenset({400, 501, 505})
    return [
        Case(f"protocol: {name}", data, statuses, "RFC 9112 2.2", is_hopeless=True) for name, data in protocols.items()
    ]


CASES = (
    *_conflicts(),
    *_lengths(),
    *_codings(),
    *_heads(),
    *_chunks(),
    *_targets(),
    *_hosts(),
    *_lines(),
    *_limits(),
    *_other_protocols(),
)
