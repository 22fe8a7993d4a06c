"""What is found by reading, and what is not: false alarms cost an author as much as a bug."""

from textwrap import dedent

import pytest

from gateway.review.blocking import check_blocking
from gateway.review.finding import without_allowed
from gateway.review.growth import bounded_names, check_growth
from gateway.review.source import read_sources
from gateway.review.synchronous import check_synchronous


@pytest.fixture
def found(tmp_path):
    """Return a function that returns codes and lines of what is found in a source."""

    def find(text):
        path = tmp_path / "source.py"
        path.write_text(dedent(text))
        sources, findings = read_sources([path])
        for source in sources:
            findings += [*check_blocking(source), *check_growth(source), *check_synchronous(source)]
        return [(finding.code, finding.line) for finding in without_allowed(findings)]

    return find


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    open('x')",
        "async def f(path):\n    await asyncio.to_thread(open, path)",
        "async def f(path):\n    def read():\n        return open(path)\n    return await in_thread(read)",
        "async def f(path):\n    return await path.read_text()",
        "import asyncio\nasync def f():\n    await asyncio.sleep(1)",
        "import requests\nasync def f():\n    raise requests.HTTPError('no')",
        "def build(config, context):\n    return open(config.path)",
        "import time\nasync def f():\n    return time.monotonic()",
    ],
)
def test_what_does_not_block_is_not_found(text, found):
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("async def f():\n    open('x')", 2),
        ("async def f():\n    with open('x') as file:\n        pass", 2),
        ("from time import sleep as rest\nasync def f():\n    rest(1)", 3),
        ("import os.path\nasync def f():\n    os.system('x')", 3),
        ("import requests as r\nasync def f():\n    r.Session().get('x')", 3),
        ("def read():\n    return open('x')\nasync def f():\n    return read()", 2),
        ("async def f():\n    def read():\n        return open('x')\n    return read()", 3),
        ("import asyncio\nasync def f():\n    asyncio.run(g())", 3),
        ("class P:\n    def data_received(self, data):\n        open('x')", 3),
    ],
)
def test_what_blocks_is_found(text, line, found):
    assert found(text) == [("blocking", line)]


@pytest.mark.parametrize("method", ["conceal", "recall", "refund", "acquire_now"])
def test_what_blocks_in_a_method_that_is_not_awaited_is_found(method, found):
    assert found(f"class P:\n    def {method}(self, *given):\n        open('x')") == [("blocking", 3)]


COMPONENT = """
    class Component:
        async def {main}(self, *given):
            pass

        {method}
            pass
"""


@pytest.mark.parametrize(
    ("main", "name"),
    [("authenticate", "conceal"), ("authenticate", "recall"), ("acquire", "refund"), ("acquire", "acquire_now")],
)
def test_a_coroutine_where_nothing_is_awaited_is_found(main, name, found):
    assert found(COMPONENT.format(main=main, method=f"async def {name}(self, *given):")) == [("synchronous", 6)]
    assert found(COMPONENT.format(main=main, method=f"def {name}(self, *given):")) == []


@pytest.mark.parametrize(("main", "name"), [("fetch", "recall"), ("authenticate", "refund"), ("acquire", "recall")])
def test_a_coroutine_of_what_is_no_such_component_is_not_found(main, name, found):
    assert found(COMPONENT.format(main=main, method=f"async def {name}(self, *given):")) == []


@pytest.mark.parametrize(
    "comment",
    [
        "open('x')  # check-plugin: allow blocking: a named pipe",
        "# check-plugin: allow growth, blocking: why\n    open('x')",
    ],
)
def test_a_comment_with_its_reason_allows_it(comment, found):
    assert found(f"async def f():\n    {comment}\n") == []


@pytest.mark.parametrize("comment", ["allow blocking", "allow blocking:", "allow growth: why"])
def test_a_comment_without_a_reason_or_for_something_else_does_not(comment, found):
    assert found(f"async def f():\n    open('x')  # check-plugin: {comment}\n") == [("blocking", 2)]


TABLE = """
    class Table:
        def __init__(self):
            self.seen = {start}

        async def take(self, key):
            {fill}

        {more}
"""


@pytest.mark.parametrize(
    ("start", "fill", "more"),
    [
        ("dict()", "self.seen[key] = 1", "def trim(self): self.seen.popitem()"),
        ("{}", "self.seen[key] = 1", "def trim(self): del self.seen[1]"),
        ("{}", "self.seen[key] = 1", "def is_full(self): return len(self.seen) > 9"),
        ("{}", "self.seen[key] = 1", "def forget(self): self.seen = {}"),
        ("set()", "self.seen.add(key); key.add_done_callback(self.seen.discard)", ""),
        ("{}", "self.seen['constant'] = key", ""),
        ("set()", "self.seen.add('constant')", ""),
        ("deque(maxlen=9)", "self.seen.append(key)", ""),
        ("{}", "\n            if key in METHODS:\n                self.seen[key] = 1", ""),
        ("{}", "self.seen[key] = 1", "async def watch(self, publish): pass"),
        ("{'a': 1}", "self.seen[key] = 1", ""),
    ],
)
def test_tables_with_an_end_are_not_found(start, fill, more, found):
    assert found(TABLE.format(start=start, fill=fill, more=more)) == []


@pytest.mark.parametrize(
    ("start", "fill"),
    [
        ("{}", "self.seen[key] = 1"),
        ("[]", "self.seen.append(1)"),
        ("set()", "self.seen.add(key)"),
        ("{}", "self.seen.setdefault(key, 1)"),
        ("{}", "\n            if key not in self.seen:\n                self.seen[key] = 1"),
        ("{}", "a, self.seen[key] = 1, 2"),
    ],
)
def test_tables_that_only_grow_are_found(start, fill, found):
    assert [code for code, _ in found(TABLE.format(start=start, fill=fill, more=""))] == ["growth"]


def test_a_variable_of_the_module_that_only_grows_is_found(found):
    assert found("seen = []\nasync def f(key):\n    seen.append(key)") == [("growth", 3)]


def test_what_is_no_python_is_said(found):
    assert found("def (") == [("load", 1)]


def test_a_bounded_table_under_a_second_name_is_bounded(tmp_path):
    path = tmp_path / "source.py"
    path.write_text(
        dedent("""
        class Memo:
            def __init__(self):
                self.known = {}

            def make(self, key):
                if len(self.known) >= 1000:
                    self.known.clear()
                self.known[key] = key

        class Format:
            def __init__(self):
                self._memo = Memo()
                self._seen = self._memo.known
        """)
    )
    sources, _ = read_sources([path])
    assert bounded_names(sources) == {"known", "_seen"}
