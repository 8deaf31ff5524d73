from __future__ import annotations

import pytest

from wq_package.analyze.outline import IS_TRUSTWORTHY, Outline, scan_program

pytestmark = pytest.mark.skipif(not IS_TRUSTWORTHY, reason="nothing is scanned with the `re` of this Python")

PROGRAM = rb'''"""import docs

import this"""
x = [
1, "(", # import (
]
@decorated
@twice
def f(a="\"",
b=2): return a
try:
    import numpy
except ImportError:
    pass
else:
    pass
y = 1 + \
z
import json; k = "import"
'''


def scan(text: bytes) -> Outline:
    outline = scan_program(text)
    assert outline is not None
    return outline


def list_pieces(outline: Outline) -> list[bytes]:
    return [outline.text[slice(*outline.find_span(number))] for number in range(len(outline.starts))]


def test_scan_program__statements__are_whole() -> None:
    pieces = list_pieces(scan(PROGRAM))

    assert b"".join(pieces) == PROGRAM
    assert [piece.partition(b"\n")[0] for piece in pieces] == [
        b'"""import docs',
        b"x = [",
        b"@decorated",
        b"try:",
        b"y = 1 + \\",
        b'import json; k = "import"',
    ]


@pytest.mark.parametrize(
    "text",
    [
        b"# coding: latin-1\nimport a\n",
        b"x = (1\n",
        b"x = 1)\n",
        b"x = 'open\n",
        b"\0",
        b"x = 1 ? \\ 2\n",
    ],
    ids=["other encoding", "open bracket", "closed twice", "open string", "nul", "stray backslash"],
)
def test_scan_program__what_takes_a_parser__is_none(text: bytes) -> None:
    assert scan_program(text) is None


def test_find_pieces__words_in_strings_and_comments__do_not_count() -> None:
    outline = scan(PROGRAM)

    assert outline.find_pieces((b"import",)) == [3, 5]
    assert outline.find_pieces((b"import",), [PROGRAM.index(b"z\n")]) == [3, 4, 5]


def test_keep__some_pieces__leaves_each_line_where_it_was() -> None:
    kept = scan(PROGRAM).keep([3, 5])

    assert kept.splitlines()[10:15] == PROGRAM.splitlines()[10:15]
    assert kept.splitlines()[-1] == PROGRAM.splitlines()[-1]
    assert not kept.splitlines()[0]
    compile(kept, "kept.py", "exec")


@pytest.mark.parametrize("size", [1, 30, 1000])
def test_iter_others__any_size__gives_all_other_pieces_whole(size: int) -> None:
    outline = scan(PROGRAM)
    others = [program for _, _, program in outline.iter_others([3], size)]

    assert b"".join(others) == PROGRAM.replace(list_pieces(outline)[3], b"")
    for other in others:
        compile(other, "other.py", "exec")


def test_iter_others__nothing_kept__gives_everything() -> None:
    spans = [(start, end) for start, end, _ in scan(PROGRAM).iter_others([], 10)]

    assert b"".join(PROGRAM[start:end] for start, end in spans) == PROGRAM
