from __future__ import annotations

import pytest

from wq_package.build.base import is_conda_spec
from wq_package.build.conda.conda_base import make_request
from wq_package.build.conda.records import parse_record
from wq_package.spec.environment import CondaRequirement, EnvironmentSpec, WheelRequirement


@pytest.mark.parametrize(
    ("spec", "is_conda"),
    [
        (EnvironmentSpec(python="3.11", wheels=(WheelRequirement("numpy"),)), False),
        (EnvironmentSpec(python="3.11", channels=("conda-forge",)), False),
        (EnvironmentSpec(python="3.11", channels=("file:///srv/channel",)), True),
        (EnvironmentSpec(channels=("./channel",)), True),
        (EnvironmentSpec(conda=(CondaRequirement("numpy"),)), True),
    ],
)
def test_is_conda_spec__conda_packages_or_a_channel_of_one_s_own(
    spec: EnvironmentSpec, is_conda: bool
) -> None:
    assert is_conda_spec(spec) is is_conda


def test_make_request__python_is_always_part_of_it() -> None:
    spec = EnvironmentSpec(conda=(CondaRequirement("numpy", "2.4.6", "py311_0"),), channels=("conda-forge",))
    assert make_request(spec).specs == ("python", "numpy=2.4.6=py311_0")


def test_make_request__python_with_a_build__replaces_its_bare_version() -> None:
    spec = EnvironmentSpec(python="3.11.7", conda=(CondaRequirement("python", "3.11.7", "h1_cpython"),))
    assert make_request(spec).specs == ("python=3.11.7=h1_cpython",)


def test_make_request__channel_of_one_package__is_asked_last() -> None:
    spec = EnvironmentSpec(
        python="3.11",
        conda=(
            CondaRequirement("a", channel="bioconda"),
            CondaRequirement("b", "1", channel="file:///srv/c"),
        ),
    )
    assert make_request(spec).specs == (
        "python=3.11",
        "https://conda.anaconda.org/bioconda::a",
        "file:///srv/c::b=1",
    )


def test_make_request__mirror_of_a_site__has_the_bare_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDA_CHANNEL_ALIAS", "https://mirror.example.org/conda/")
    spec = EnvironmentSpec(channels=("conda-forge", "https://example.org/mine"))
    assert make_request(spec).channels == (
        "https://mirror.example.org/conda/conda-forge",
        "https://example.org/mine",
    )


def test_parse_record__old_noarch__is_generic() -> None:
    fields = {
        "name": "a",
        "version": "1",
        "build": "0",
        "fn": "a.tar.bz2",
        "url": "u",
        "noarch": True,
        "size": None,
    }
    record = parse_record(fields)
    assert (record.noarch, record.size, record.stem) == ("generic", 0, "a-1-0")
