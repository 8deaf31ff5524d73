from __future__ import annotations

import ast

import pytest

from wq_package.archive.launcher import render_script_header
from wq_package.build.script_text import normalize_script, parse_entry_points, render_entry_point

_HEADER = render_script_header().encode()


def test_parse_entry_points__scripts_of_both_groups__names_keep_their_case() -> None:
    text = "[console_scripts]\nTool = pkg.mod:Main.run\nextra = pkg:f [fast]\n[gui_scripts]\ngui=pkg:g\n[other]\nx = y:z\n"

    assert parse_entry_points(text) == {"Tool": "pkg.mod:Main.run", "extra": "pkg:f [fast]", "gui": "pkg:g"}


@pytest.mark.parametrize("text", ["", "not an ini file", "[console_scripts]\nbad = no colon\n"])
def test_parse_entry_points__nothing_usable__empty(text: str) -> None:
    assert parse_entry_points(text) == {}


def test_render_entry_point__is_python_that_calls_the_attribute() -> None:
    text = render_entry_point("pkg.mod:Main.run")

    assert "from pkg.mod import Main" in text
    assert "sys.exit(Main.run())" in text
    assert text.startswith("#!/bin/sh\n")
    ast.parse(text)


@pytest.mark.parametrize(
    "line",
    [b"#!/home/me/venv/bin/python3.11\n", b"#!python\n", b"#!/usr/bin/env python3\n",
     b"#!/bin/sh\n'''exec' \"/a b/python\" \"$0\" \"$@\"\n' '''\n"],
)  # fmt: skip
def test_normalize_script__python_of_the_build_machine__is_replaced(line: bytes) -> None:
    assert normalize_script(line + b"print(1)\n") == _HEADER + b"print(1)\n"


def test_normalize_script__options_of_the_interpreter__stay() -> None:
    text = normalize_script(b"#!/venv/bin/python -I\nprint(1)\n").decode()

    assert text == render_script_header(arguments="-I") + "print(1)\n"


@pytest.mark.parametrize(
    "body",
    [
        '"""Usage: demo"""\nfrom __future__ import annotations\n\nimport os\nx = __doc__\n',
        "# a comment\n'Usage: demo'\nx = __doc__\n",
        '"""Usage: demo"""\nfrom __future__ import (\n    annotations,\n)\nfrom __future__ import division\nx = __doc__\n',
        "('Usage: '\n 'demo')\nx = __doc__\n",
    ],
)
def test_normalize_script__docstring__stays_the_docstring(body: str) -> None:
    script = normalize_script(b"#!/venv/bin/python\n" + body.encode())

    values: dict[str, object] = {}
    exec(compile(script, "script", "exec"), values)
    assert values["x"] == values["__doc__"] == "Usage: demo"


@pytest.mark.parametrize("body", [b"def broken(:\n", b"print(1)\n", b""])
def test_normalize_script__no_docstring__body_stays(body: bytes) -> None:
    assert normalize_script(b"#!/venv/bin/python\n" + body) == _HEADER + body


@pytest.mark.parametrize("data", [b"\x7fELF\x02\x01", b"#!/bin/bash\necho python\n", b"print(1)\n", b""])
def test_normalize_script__anything_else__is_left_alone(data: bytes) -> None:
    assert normalize_script(data) == data
