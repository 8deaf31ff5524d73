from __future__ import annotations

import json
import tomllib
from dataclasses import replace

import pytest
from packaging.pylock import Pylock

from wq_package.errors import InvalidSpecError
from wq_package.spec.environment import CondaRequirement, EnvironmentSpec, LocalSource, WheelRequirement
from wq_package.spec.poncho import parse_poncho, render_poncho
from wq_package.spec.pylock import parse_pylock, render_pylock
from wq_package.spec.requirements_txt import parse_requirements_txt, render_requirements_txt
from wq_package.spec.script_block import parse_script_block

PINS = ("numpy==2.1.0", "typing-extensions==4.12.2")
SPEC = EnvironmentSpec(
    name="study",
    python="3.11.7",
    channels=("conda-forge",),
    conda=(CondaRequirement("libyaml", "0.2.5", "h7"),),
    wheels=(WheelRequirement("numpy==2.1.0"), WheelRequirement("typing_extensions==4.12.2")),
    local=(LocalSource("helpers", "./helpers.py", "ab"),),
)


@pytest.mark.parametrize("old", [False, True])
def test_poncho__either_generation__is_read_back(old: bool) -> None:
    assert parse_poncho(render_poncho(SPEC, old=old), "env.json") == SPEC


def test_poncho__old_generation__has_packages_and_pip_beside() -> None:
    document = json.loads(render_poncho(SPEC, old=True))

    assert document["conda"]["packages"] == ["python=3.11.7", "pip", "libyaml=0.2.5=h7"]
    assert document["pip"] == ["numpy==2.1.0", "typing_extensions==4.12.2"]


def test_poncho__new_generation__has_pip_in_the_list() -> None:
    dependencies = json.loads(render_poncho(SPEC))["conda"]["dependencies"]

    assert dependencies[-1] == {"pip": ["numpy==2.1.0", "typing_extensions==4.12.2"]}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"conda": []}',
        '{"conda": {"dependencies": 3}}',
        '{"conda": {}, "git": {"X": {}}}',
        "[" * 100_000,
    ],
)
def test_parse_poncho__malformed__is_an_invalid_spec(text: str) -> None:
    with pytest.raises(InvalidSpecError):
        parse_poncho(text, "env.json")


ARTEFACTS = """\
lock-version = "1.0"
created-by = "an installer"
requires-python = ">=3.11"

[[packages]]
name = "numpy"
version = "2.1.0"
index = "https://user:secret@index.example.org/simple"
wheels = [{ url = "https://user:secret@index.example.org/numpy-2.1.0-py3-none-any.whl", hashes = { sha256 = "ab" } }]

[[packages]]
name = "typing-extensions"
version = "4.12.2"
wheels = [{ url = "file:///wheels/typing_extensions-4.12.2-py3-none-any.whl", hashes = { sha256 = "cd" } }]
"""


def test_pylock__rendered__is_what_the_standard_asks_for() -> None:
    lock = Pylock.from_dict(tomllib.loads(render_pylock(SPEC, ARTEFACTS)))

    assert [(package.name, str(package.version)) for package in lock.packages] == [
        ("numpy", "2.1.0"),
        ("typing-extensions", "4.12.2"),
    ]
    assert str(lock.requires_python) == "==3.11.7"
    assert "helpers" in str(lock.tool)


def test_pylock__without_distributions__is_what_the_standard_asks_for() -> None:
    spec = EnvironmentSpec(python="3.12", local=SPEC.local)
    text = render_pylock(spec)

    assert Pylock.from_dict(tomllib.loads(text)).packages == []
    assert parse_pylock(text, "pylock.toml") == spec


def test_pylock__passwords_of_an_index__stay_out() -> None:
    assert "secret" not in render_pylock(SPEC, ARTEFACTS)


@pytest.mark.parametrize("python", ["3.11.7", "3.11", ">=3.11,<3.13", None])
def test_parse_pylock__rendered__gives_the_spec_back(python: str | None) -> None:
    spec = replace(SPEC, name=None, python=python, wheels=tuple(WheelRequirement(pin) for pin in PINS))

    assert parse_pylock(render_pylock(spec, ARTEFACTS), "pylock.toml") == spec


@pytest.mark.parametrize(
    "ours",
    ["tool = {wq-package = 3}", "[tool.wq-package]\nother = 1", "[[tool.wq-package.local]]\nimport = 'a b'"],
)
def test_parse_pylock__malformed_table_of_ours__is_an_invalid_spec(ours: str) -> None:
    with pytest.raises(InvalidSpecError):
        parse_pylock(f'lock-version = "1.0"\n{ours}\n', "pylock.toml")


def test_parse_pylock__malformed__names_every_issue() -> None:
    text = 'lock-version = "9"\n[[packages]]\nversion = "1"\n[[packages]]\nname = "x"\ndirectory = {path = "."}\n'
    with pytest.raises(InvalidSpecError) as raised:
        parse_pylock(text, "pylock.toml")

    assert len(raised.value.issues) == 3


def test_requirements__everything_pip_reads__is_understood() -> None:
    text = """\ufeff# a comment
numpy==2.1.0 \\
    --hash=sha256:0000 \\
    --hash=sha256:1111
-i https://index.example.org/simple
--extra-index-url=https://other.example.org
pandas>=2  # why
-r more.txt
requests[socks] ; python_version > "3.8"
"""
    parsed = parse_requirements_txt(text, "requirements.txt")

    assert [wheel.text for wheel in parsed.wheels] == [
        "numpy==2.1.0",
        "pandas>=2",
        'requests[socks] ; python_version > "3.8"',
    ]
    assert parsed.included == ("more.txt",)


def test_requirements__malformed__names_every_line() -> None:
    with pytest.raises(InvalidSpecError) as raised:
        parse_requirements_txt("numpy=2\n-e .\n-c limits.txt\n--weird\n", "requirements.txt")

    assert [issue.partition(":")[0] for issue in raised.value.issues] == [
        "line 1",
        "line 2",
        "line 3",
        "line 4",
    ]


def test_requirements__rendered__are_read_back() -> None:
    parsed = parse_requirements_txt(render_requirements_txt(SPEC), "requirements.txt")

    assert parsed.wheels == SPEC.wheels


def test_script_block__absent__is_none() -> None:
    assert parse_script_block("import numpy\n", "app.py") is None


def test_script_block__other_type_and_embedded_comment__are_passed_over() -> None:
    text = '# /// tool\n# x = 1\n# ///\n\n# /// script\n# dependencies = [\n#   "numpy",  # yes\n# ]\n# ///\n'
    block = parse_script_block(text, "app.py")

    assert block is not None
    assert block.dependencies == (WheelRequirement("numpy"),)
    assert block.line == 5


@pytest.mark.parametrize(
    "content",
    ["dependencies = [", 'dependencies = "numpy"', 'dependencies = ["num py"]', "requires-python = 3"],
)
def test_script_block__malformed__is_an_invalid_spec(content: str) -> None:
    with pytest.raises(InvalidSpecError):
        parse_script_block(f"# /// script\n# {content}\n# ///\n", "app.py")


def test_script_block__two_blocks__is_an_invalid_spec() -> None:
    block = "# /// script\n# dependencies = []\n# ///\n"
    with pytest.raises(InvalidSpecError):
        parse_script_block(f"{block}\n{block}", "app.py")
