from __future__ import annotations

import pytest

from wq_package.build.conda.instead import find_wheels
from wq_package.spec.environment_yml import parse_conda_requirement


@pytest.mark.parametrize(
    ("conda", "wheel"),
    [
        ("numpy", "numpy"),
        ("numpy=2.4.6=py311_0", "numpy==2.4.6"),
        ("tzdata=2026b=h1", "tzdata"),
        ("numpy=2.4", "numpy==2.4.*"),
        ("numpy=2.4.6", "numpy==2.4.6"),
        ("numpy=2.4.*", "numpy==2.4.*"),
        ("numpy>=2,<3", "numpy>=2,<3"),
        ("numpy>=2|1.26", "numpy"),
        ("conda-forge::scipy=1.17", "scipy==1.17.*"),
    ],
)
def test_find_wheels__conda_s_ways__in_those_of_the_index(conda: str, wheel: str) -> None:
    requirement = parse_conda_requirement(conda)
    assert requirement is not None
    assert find_wheels([requirement]) == (wheel,)


def test_find_wheels__python_and_pip__are_none() -> None:
    requirements = [parse_conda_requirement("python=3.11"), parse_conda_requirement("pip")]
    assert find_wheels([each for each in requirements if each]) == ()
