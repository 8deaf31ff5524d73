from __future__ import annotations

from wq_package.executor.drift import compare_versions, find_own_versions, parse_features

HERE = {"python": "3.11.7", "cloudpickle": "3.1.1", "numpy": "2.4.6", "parsl": "2026.10.26"}


def test_own_versions__are_those_of_this_process() -> None:
    assert {"python", "cloudpickle", "parsl"} <= set(find_own_versions())


def test_compare__same_where_both_have_it__nothing_to_say() -> None:
    assert compare_versions(HERE, HERE) == ""
    assert compare_versions(HERE, {"python": "3.11.7", "cloudpickle": "3.1.1", "dill": "0.4"}) == ""


def test_compare__differences__are_a_table() -> None:
    there = HERE | {"python": "3.11.2", "numpy": "1.26.4"}
    del there["cloudpickle"]
    assert compare_versions(HERE, there) == (
        "             here    there\n"
        "python       3.11.7  3.11.2\n"
        "cloudpickle  3.1.1   -\n"
        "numpy        2.4.6   1.26.4"
    )


def test_compare__other_minor_release__apps_cannot_run_there() -> None:
    table = compare_versions(HERE, HERE | {"python": "3.12.1"})
    assert "apps cannot run there" in table
    assert "apps cannot run there" not in compare_versions(HERE, HERE | {"python": "3.11.9"})


def test_parse_features__versions_alone() -> None:
    features = {
        "wq-package-1",
        "wq-package-block-0",
        "wq-package-has-python-3.11.7",
        "wq-package-has-numpy-2.4.6",
    }
    assert parse_features(features) == {"python": "3.11.7", "numpy": "2.4.6"}
