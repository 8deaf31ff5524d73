from __future__ import annotations

import ast

import pytest

from wq_package.analyze.conditions import Cause, judge_test
from wq_package.analyze.target import Target

TARGET = Target("3.11.7", (3, 11, 7), frozenset(), platform="linux", os_name="posix", system="Linux")
ALIASES = {
    "sys": "sys",
    "os": "os",
    "platform": "platform",
    "t": "typing",
    "TC": "typing.TYPE_CHECKING",
    "six": "six",
}


def judge(text: str) -> tuple[bool | None, Cause]:
    expression = ast.parse(text, mode="eval").body
    verdict = judge_test(expression, ALIASES, TARGET)
    return verdict.value, verdict.cause


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("sys.version_info >= (3, 11)", True),
        ("sys.version_info >= (3, 12)", False),
        ("sys.version_info < (3,)", False),
        ("(3, 9) <= sys.version_info", True),
        ("sys.version_info[0] == 3", True),
        ("sys.version_info[:2] == (3, 11)", True),
        ("sys.version_info[1:2] == (11,)", True),
        ("sys.version_info[-1] == 0", None),
        ("sys.version_info.minor in (10, 11)", True),
        ("sys.version_info[9] == 3", None),
        ("sys.version_info == 'x'", False),
        ("sys.version_info > 3", None),
        ("sys.hexversion >= 0x030b0000", True),
        ("sys.version[0] == '3'", True),
        ("sys.platform == 'linux'", True),
        ("sys.platform != 'win32'", True),
        ("sys.platform.startswith('win')", False),
        ("sys.platform.startswith(('lin', 'win'))", True),
        ("sys.platform.startswith(name)", None),
        ("sys.platform.lower() == 'linux'", True),
        ("sys.platform in {'linux', 'darwin'}", True),
        ("sys.platform not in ['linux']", False),
        ("os.name == 'nt'", False),
        ("platform.system() == 'Darwin'", False),
        ("platform.system().lower() == 'linux'", True),
        ("platform.machine() == 'x86_64'", None),
        ("platform.python_implementation() == 'CPython'", True),
        ("not six.PY2", True),
        ("1 < 2 < 3", None),
    ],
)
def test_judge_test__facts_of_the_target__are_known(text: str, value: bool | None) -> None:
    assert judge(text)[0] is value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TYPE_CHECKING", (False, Cause.TYPE_CHECKING)),
        ("t.TYPE_CHECKING", (False, Cause.TYPE_CHECKING)),
        ("TC", (False, Cause.TYPE_CHECKING)),
        ("not TC", (True, Cause.TYPE_CHECKING)),
        ("TC or x", (None, Cause.UNKNOWN)),
        ("TC and x", (False, Cause.TYPE_CHECKING)),
        ("True", (True, Cause.CONSTANT)),
        ("0", (False, Cause.CONSTANT)),
        ("''", (False, Cause.CONSTANT)),
        ("x", (None, Cause.UNKNOWN)),
        ("x and False", (False, Cause.CONSTANT)),
        ("x or True", (True, Cause.CONSTANT)),
        ("x() or os.name == 'posix'", (True, Cause.PLATFORM)),
        ("not x", (None, Cause.UNKNOWN)),
    ],
)
def test_judge_test__parts__are_combined(text: str, expected: tuple[bool | None, Cause]) -> None:
    assert judge(text) == expected


def test_judge_test__deep_nesting__is_unknown() -> None:
    assert judge("not " * 80 + "x") == (None, Cause.UNKNOWN)
