from __future__ import annotations

import ast

import pytest

from wq_package.archive.script_header import make_relocatable_script, render_script_header


def _execute(script: bytes) -> dict[str, object]:
    names: dict[str, object] = {"__name__": "__main__"}
    exec(compile(script, "script", "exec", dont_inherit=True), names)
    return names


def test_render_script_header__arguments__go_to_the_interpreter() -> None:
    header = render_script_header("python3.11", " -E ")
    assert header.splitlines()[0] == "#!/bin/sh"
    assert header.splitlines()[1].endswith('/python3.11" -E "$0" "$@"')
    assert len(ast.parse(header).body) == 1


@pytest.mark.parametrize(
    "first", [b"", b"#!/usr/bin/python3\n", b"#!/p/bin/python\n# -*- coding: utf-8 -*-\n\n"]
)
@pytest.mark.parametrize(
    ("rest", "text"),
    [
        pytest.param(b"value = 1\n", None, id="plain"),
        pytest.param(b'"""Usage: tool."""\nvalue = 1\n', "Usage: tool.", id="documentation"),
        pytest.param(b"from __future__ import annotations\nvalue = 1", None, id="future"),
        pytest.param(
            b'# note\nr"""Usage:\n\n\'\'\'\n"""\n\nfrom __future__ import (\n    annotations,\n    division,\n)\nvalue = 1\n',
            "Usage:\n\n'''\n",
            id="documentation, then future",
        ),
    ],
)
def test_make_relocatable_script__any_beginning__keeps_its_documentation_and_its_meaning(
    first: bytes, rest: bytes, text: str | None
) -> None:
    script = make_relocatable_script(first + rest)
    assert script.startswith(render_script_header().encode())
    assert b"#!" not in script[2:]
    names = _execute(script)
    assert names["value"] == 1
    if text is not None:
        assert names["__doc__"] == text
    assert ("annotations" in names) == (b"annotations" in rest)


@pytest.mark.parametrize(
    "source", [b"print 'python 2'\n", b'"""Doc."""; from __future__ import annotations\n', b"", b"\0"]
)
def test_make_relocatable_script__cannot_be_moved__is_left_as_it_is(source: bytes) -> None:
    assert make_relocatable_script(source) == render_script_header().encode() + source
