from __future__ import annotations

import ast

import pytest

from wq_package.analyze.programs import find_programs


def find_names(body: str) -> list[str]:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return [called.name for called in find_programs(ast.parse(f"def app(x, y=1):\n{lines}").body[0])]


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("return 'tool --x 1'", ["tool"]),
        ("return f'tool {x} | other > {y}'", ["tool", "other"]),
        ("return 'a 1 && b 2 || c; d & e'", ["a", "b", "c", "d", "e"]),
        ("return f'{x} --flag'", []),
        ("return f'tool{x} --flag'", []),
        ("return f'./tool {x}; /usr/bin/tool'", []),
        ("return 'A=1 B=2 tool'", ["tool"]),
        ("return 'if true; then tool; fi'", ["true", "tool", "fi"]),
        ("return 'x=$(tool a)'", ["tool"]),
        ("return 'echo \\'a; b\\' # c; d'", ["echo"]),
        ("command = 'tool ' + x\nreturn command", ["tool"]),
        ("other = 'tool'\nreturn x", []),
        ("def inner():\n    return 'tool'\nreturn inner()", []),
        ("return 'tool {}'.format(x)", ["tool"]),
        ("return 'tool %s' % x if x else 'other'", ["tool", "other"]),
        ("return", []),
    ],
)
def test_find_programs__command_line__names_what_it_calls(body: str, names: list[str]) -> None:
    assert find_names(body) == names


def test_find_programs__lambda__is_read() -> None:
    node = ast.parse("lambda x: f'tool {x}'", mode="eval").body

    assert [(called.name, called.line) for called in find_programs(node)] == [("tool", 1)]


def test_find_programs__nested_beyond_measure__finds_nothing() -> None:
    text: ast.expr = ast.Constant("tool", lineno=1, col_offset=0)
    for _ in range(100_000):
        text = ast.BinOp(text, ast.Mod(), ast.Constant(1, lineno=1, col_offset=0), lineno=1, col_offset=0)
    node = ast.Lambda(ast.arguments([], [], None, [], [], None, []), text)

    assert find_programs(node) == []
