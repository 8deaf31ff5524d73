from __future__ import annotations

import re
from pathlib import Path

import pytest

import wq_package.analyze.known as known
from wq_package.analyze.known import find_candidates

TABLE = Path(known.__file__).with_name("import_names.txt")


@pytest.mark.parametrize(
    ("module", "candidates"),
    [
        ("yaml", ("PyYAML",)),
        ("sklearn.ensemble", ("scikit-learn",)),
        ("PIL", ("pillow",)),
        ("attr", ("attrs",)),
        ("google.protobuf.message", ("protobuf",)),
        ("google.cloud.storage", ("google-cloud-storage",)),
        ("mpl_toolkits.mplot3d", ("matplotlib",)),
        ("pkg_resources", ("setuptools",)),
        ("no_such_module_anywhere", ()),
        ("", ()),
    ],
)
def test_find_candidates__popular_names__are_known_by_their_longest_part(
    module: str, candidates: tuple[str, ...]
) -> None:
    assert find_candidates(module) == candidates


def test_find_candidates__several_providers__are_all_named() -> None:
    assert {"opencv-python", "opencv-python-headless"} <= set(find_candidates("cv2"))


def test_table__every_line__is_a_name_and_its_distributions() -> None:
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    names = [line.partition("\t")[0] for line in lines]

    assert len(lines) > 10_000
    assert names == sorted(set(names))
    for line in lines:
        assert re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*\t[A-Za-z0-9._-]+( [A-Za-z0-9._-]+)*", line), line
