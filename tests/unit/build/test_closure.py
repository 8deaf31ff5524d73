from __future__ import annotations

import pytest

from wq_package.build.closure import find_missing, is_wanted


def test_find_missing__everything_pinned__nothing() -> None:
    pins = ["pandas==3.0", "numpy==2.1"]

    assert find_missing(pins, {"pandas": ["numpy>=2.0"]}, "3.11.7") == ()


@pytest.mark.parametrize("pins", [["pandas==3.0"], ["pandas==3.0", "numpy==1.26"]])
def test_find_missing__absent_or_too_old__is_named(pins: list[str]) -> None:
    assert find_missing(pins, {"pandas": ["numpy>=2.0"]}, "3.11.7") == ("numpy>=2.0",)


def test_find_missing__markers__are_those_of_the_target() -> None:
    requires = {"a": ['tomli>=1; python_version < "3.11"', 'pywin32; sys_platform == "win32"']}

    assert find_missing(["a==1"], requires, "3.11.7") == ()
    assert find_missing(["a==1"], requires, "3.9.18") == ('tomli>=1; python_version < "3.11"',)


def test_find_missing__extras__count_only_where_asked_for() -> None:
    requires = {"a": ['b[fast]>=1; extra == "more"'], "b": ['c; extra == "fast"']}

    assert find_missing(["a==1"], requires, "3.11.7") == ()
    assert find_missing(["a[more]==1", "b==1"], requires, "3.11.7") == ('c; extra == "fast"',)


def test_find_missing__names_written_differently__are_one() -> None:
    assert find_missing(["Foo.Bar==1", "baz==2"], {"baz": ["foo_bar"]}, "3.11.7") == ()


def test_find_missing__unreadable_requirement__is_passed_over() -> None:
    assert find_missing(["a==1"], {"a": ["what is this ???"]}, "3.11.7") == ()


def test_is_wanted__marker_of_another_python__no() -> None:
    assert is_wanted('tomli; python_version < "3.11"', "3.9.1")
    assert not is_wanted('tomli; python_version < "3.11"', "3.11.7")
    assert is_wanted("numpy==2.0", "3.11.7")
