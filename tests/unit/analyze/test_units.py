from __future__ import annotations

import pytest

from wq_package.analyze.outline import IS_TRUSTWORTHY
from wq_package.analyze.parsing import MAX_PARSED
from wq_package.analyze.sources import SourceFile
from wq_package.analyze.target import make_target
from wq_package.analyze.units import Unit, open_unit
from wq_package.errors import SourceSyntaxError

needs_outline = pytest.mark.skipif(not IS_TRUSTWORTHY, reason="this Python has to parse a program to read it")
BULK = (b"x = '" + b"import " * 600 + b"'\n") * (MAX_PARSED // 4200 + 1)


def open_text(text: bytes, *, is_whole: bool = True, is_lenient: bool = False) -> Unit:
    return open_unit(SourceFile("big.py", text), make_target(None), is_lenient=is_lenient, is_whole=is_whole)


@needs_outline
def test_open_unit__more_data_than_may_be_parsed__still_has_its_imports() -> None:
    unit = open_text(b"import numpy\n" + BULK + b"import yaml\n")

    assert [(found.module, found.line) for found in unit.extraction.imports] == [
        ("numpy", 1),
        ("yaml", BULK.count(b"\n") + 2),
    ]


@needs_outline
def test_open_unit__error_in_more_than_may_be_parsed__is_told_with_its_line() -> None:
    with pytest.raises(SourceSyntaxError) as raised:
        open_text(b"import numpy\n" + BULK + b"x = = 1\n")

    assert raised.value.line == BULK.count(b"\n") + 2


@needs_outline
def test_open_unit__one_statement_larger_than_may_be_parsed__is_left_alone() -> None:
    unit = open_text(b"import numpy\ndata = [\n" + BULK.replace(b"x = ", b"").replace(b"\n", b",\n") + b"]\n")

    assert [found.module for found in unit.extraction.imports] == ["numpy"]


def test_open_unit__app_among_more_than_may_be_parsed__is_refused_or_read_loosely() -> None:
    text = b"import numpy\n" + BULK
    with pytest.raises(SourceSyntaxError, match="more than 8 MB would have to be parsed"):
        open_text(text, is_whole=False)

    unit = open_text(text, is_whole=False, is_lenient=True)

    assert [found.module for found in unit.extraction.imports] == ["numpy"]
    assert [str(problem) for problem in unit.problems] == [
        "big.py: cannot be parsed; only its plain import statements are taken (more than 8 MB would have to be parsed)"
    ]
