from __future__ import annotations

from wq_package.build.conda.conflicts import explain_conflicts

OWNERS = {"bin/f2py": "numpy", "share/a": "data", "share/b": "data"}


def test_explain_conflicts__nothing_in_common__is_nothing_to_say() -> None:
    assert explain_conflicts({"cloudpickle": ["share/c"]}, OWNERS) is None


def test_explain_conflicts__names_wheel_packages_and_paths() -> None:
    error = explain_conflicts({"b": ["share/a", "x"], "a": ["bin/f2py", "share/b"]}, OWNERS)
    assert str(error) == (
        "`a` would overwrite 2 files of data, numpy: `bin/f2py`, `share/b`; "
        "`b` would overwrite 1 files of data: `share/a`"
    )


def test_explain_conflicts__many_paths__shows_the_first_three() -> None:
    owners = {f"share/{number}": "data" for number in range(5)}
    assert "`share/2` …" in str(explain_conflicts({"a": list(owners)}, owners))
