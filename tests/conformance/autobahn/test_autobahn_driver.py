"""The driver of Autobahn's cases: they fail where a service does wrong, and mean what they mean in Python 2."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from tests.conformance.autobahn import deflate, suite
from tests.conformance.autobahn.fuzzer import play
from tests.conformance.autobahn.services import Manners, careless_echo, echo

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

FAULTS = {
    "masks its frames": (Manners(masks=True), ("1.1.2", "1.2.2", "5.3"), ("FAILED", "UNCLEAN")),
    "sets reserved bits": (Manners(rsv=4), ("1.1.2", "1.2.2", "5.3", "9.7.1"), ("FAILED", "OK")),
    "answers no pings": (Manners(answers_pings=False), ("2.1", "2.2", "2.10", "5.6"), ("FAILED", "OK")),
    "changes what it echoes": (Manners(spoils=True), ("1.1.2", "1.2.5", "5.3", "6.2.3"), ("FAILED", "OK")),
    "echoes texts as bytes": (Manners(as_binary=True), ("1.1.2", "5.3", "6.1.1", "9.1.1"), ("FAILED", "OK")),
    "takes reserved bits": (Manners(), ("3.1", "3.2", "3.3", "3.4", "3.5", "3.6"), ("FAILED", "FAILED")),
    "takes reserved opcodes": (Manners(), ("4.1.3", "4.1.4", "4.2.3", "4.2.4"), ("FAILED", "FAILED")),
    "takes fragments in any order": (Manners(), ("5.1", "5.9", "5.12", "5.15", "5.18"), ("FAILED", "FAILED")),
    "takes any text": (Manners(), ("6.3.1", "6.3.2", "6.4.1", "6.4.3", "6.6.1", "6.20.1"), ("FAILED", "FAILED")),
    "takes any close": (Manners(), ("7.3.2", "7.3.6", "7.5.1", "7.9.1"), ("FAILED", "WRONG CODE")),
    "closes with another code": (Manners(close_code=1011), ("7.1.1", "7.3.1", "7.7.1"), ("FAILED", "WRONG CODE")),
    "answers no close": (Manners(close_code=None, drops=False), ("1.1.2", "7.1.1", "7.7.1"), ("OK", "UNCLEAN")),
    "leaves the connection open": (Manners(drops=False), ("1.1.2", "7.1.1", "7.7.1"), ("OK", "FAILED BY CLIENT")),
    "does not compress": (Manners(), ("12.1.1", "13.1.1"), ("UNIMPLEMENTED", "OK")),
}


@pytest.mark.slow
async def test_services_that_do_wrong_fail(cases):
    async def played(manners, names):
        async with careless_echo(manners) as port:
            verdicts = await asyncio.gather(*(play(cases[name], "127.0.0.1", port, messages=3) for name in names))
        assert not any(verdict.is_passing for verdict in verdicts)
        return {name: verdict[:2] for name, verdict in zip(names, verdicts, strict=True)}

    found = await asyncio.gather(*(played(manners, names) for manners, names, _ in FAULTS.values()))
    expected = {fault: dict.fromkeys(names, verdict) for fault, (_, names, verdict) in FAULTS.items()}
    assert dict(zip(FAULTS, found, strict=True)) == expected


async def test_a_fault_of_a_case_is_no_verdict(cases):
    def raise_(*_):
        raise LookupError("in the case")

    broken = type("Broken", (cases["1.1.2"],), {"onMessage": raise_})
    async with echo() as port:
        with pytest.raises(LookupError, match="in the case"):
            await play(broken, "127.0.0.1", port)


def test_every_case_of_the_suite_is_there(cases):
    sections = Counter(map(suite.section, cases))
    assert sections == {1: 16, 2: 11, 3: 7, 4: 10, 5: 20, 6: 145, 7: 37, 9: 54, 10: 1, 12: 90, 13: 126}


def test_what_python_2_means_is_kept(tmp_path: Path):
    (tmp_path / "case").mkdir()
    (tmp_path / "case" / "__init__.py").write_bytes(b"from neighbour import *\n")
    (tmp_path / "case" / "neighbour.py").write_bytes(
        b"# -*- coding: utf-8 -*-\n"
        b"import binascii, hashlib\n"
        b"class Base:\n"
        b"   pass\n"
        b"Derived = type('Derived', (object, Base, ), {})\n"
        b"HALF = len('seven77') / 2\n"
        b"OCTETS = '\xc3\xa9' + '\\xff'\n"
        b"TEXT = '\xc3\xa9'.decode('utf-8')\n"
        b"BACK = TEXT.encode('utf-8')\n"
        b"HEX = binascii.b2a_hex(OCTETS)\n"
        b"SUM = hashlib.sha1()\n"
        b"SUM.update(OCTETS)\n"
        b"ALL = ''.join(chr(each) for each in xrange(256))\n"
        b"def unused():\n"
        b"   print 'this is %s' % 'a statement'\n"
    )
    found = suite._Modules(tmp_path).load("__init__")
    assert found.HALF == 3
    assert found.OCTETS.encode("latin-1") == b"\xc3\xa9\xff"
    assert (found.TEXT, found.BACK) == ("é", "Ã©")
    assert found.HEX == "c3a9ff"
    assert found.SUM.digest().encode("latin-1") == hashlib.sha1(b"\xc3\xa9\xff", usedforsecurity=False).digest()
    assert found.ALL.encode("latin-1") == bytes(range(256))
    assert issubclass(found.Derived, found.Base)


@pytest.mark.parametrize(
    ("octets", "verdict"),
    [("\xc3\xa9", (True, True)), ("\xc3", (True, False)), ("\xff", (False, False)), ("\xed\xa0\x80", (False, False))],
)
def test_texts_are_validated_as_autobahn_does(octets, verdict):
    assert suite._Utf8Validator().validate(octets) == verdict


def test_what_a_service_agrees_to_is_read():
    agreed = deflate.parse("permessage-deflate; server_no_context_takeover; client_max_window_bits=9")
    assert agreed == deflate.Response(client_max_window_bits=9, server_no_context_takeover=True)


@pytest.mark.parametrize(
    "field",
    [
        "x-webkit-deflate-frame",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9",
        "permessage-deflate; unknown",
    ],
)
def test_what_nobody_offered_is_refused(field):
    with pytest.raises(ValueError, match=re.escape(repr(field))):
        deflate.parse(field)
