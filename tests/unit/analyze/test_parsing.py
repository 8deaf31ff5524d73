from __future__ import annotations

import ast
import re
import sys
import threading

import pytest

from wq_package.analyze.parsing import parse_loosely, parse_source
from wq_package.errors import SourceSyntaxError


def find_names(tree: ast.Module) -> list[str]:
    return [alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names]


@pytest.mark.parametrize(
    "source",
    [
        "import numpy\n",
        b"import numpy\n",
        b"\xef\xbb\xbfimport numpy\n",
        "# -*- coding: latin-1 -*-\n# \xe9\nimport numpy\n".encode("latin-1"),
        "# vim: set fileencoding=cp1252 :\n# \u20ac\nimport numpy\r\n".encode("cp1252"),
    ],
)
def test_parse_source__any_encoding__is_read(source: str | bytes) -> None:
    assert find_names(parse_source(source, "app.py")) == ["numpy"]


@pytest.mark.parametrize(
    "source",
    [
        b"\xff\xfe",
        b"# -*- coding: nosuchcodec -*-\n",
        b"x = '\xe9'\n",
        b"\x00\x01",
        "a\0b",
        "x = (",
        "def f(:\n pass",
    ],
)
def test_parse_source__not_python__is_one_error_with_a_place(source: str | bytes) -> None:
    with pytest.raises(SourceSyntaxError) as raised:
        parse_source(source, "app.py")
    assert re.match(r"`app\.py`( line [1-9]\d*)?: \S", str(raised.value))


def test_parse_source__python_2__says_so() -> None:
    with pytest.raises(SourceSyntaxError) as raised:
        parse_source("import os\nprint 'x'\n", "app.py")
    assert raised.value.line == 2
    assert "Python 2" in str(raised.value.hint)


@pytest.mark.skipif(
    sys.version_info[:2] in ((3, 12), (3, 13)),
    reason="these versions have a fixed limit, and cannot compile such programs either",
)
@pytest.mark.parametrize(
    "source",
    [
        "x = " + " + ".join(["1"] * 20_000),
        "x = " + "-" * 5_000 + "1",
        "x = f" + ".a" * 20_000,
        "\n".join(["if x == 1:\n    pass", *["elif x == 1:\n    pass"] * 3_000]),
    ],
    ids=["operators", "signs", "attributes", "elifs"],
)
def test_parse_source__deep_but_legal__gives_a_tree(source: str) -> None:
    limit, size = sys.getrecursionlimit(), threading.stack_size()

    assert parse_source("import numpy\n" + source, "app.py").body

    assert (sys.getrecursionlimit(), threading.stack_size()) == (limit, size)


def test_parse_source__deeper_than_python_can__is_a_syntax_error() -> None:
    with pytest.raises(SourceSyntaxError):
        parse_source("(" * 100_000, "app.py")


def test_parse_source__doubtful_escapes__raise_no_warning() -> None:
    assert parse_source("x = '\\d'\nif x is 1: pass\n", "app.py").body


def test_parse_loosely__broken_program__keeps_imports_and_lines() -> None:
    tree = parse_loosely(
        "import numpy\nprint 'x'\n  from a import (\n  b,\n  c)\nimport bad bad\nimport x, \\\n y\nfrom z import ("
    )
    found = [(node.lineno, ast.unparse(node)) for node in tree.body]

    assert found == [(1, "import numpy"), (3, "from a import b, c"), (7, "import x, y")]
