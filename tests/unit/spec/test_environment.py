from __future__ import annotations

import pytest

from wq_package.spec.environment import CondaRequirement, WheelRequirement, canonicalize_name


@pytest.mark.parametrize(
    ("requirement", "text"),
    [
        (CondaRequirement("numpy"), "numpy"),
        (CondaRequirement("numpy", "2.1.0"), "numpy=2.1.0"),
        (CondaRequirement("numpy", "2.1.0", "py311_0"), "numpy=2.1.0=py311_0"),
        (CondaRequirement("numpy", "", "py311_0"), "numpy=*=py311_0"),
        (CondaRequirement("numpy", ">=2,<3"), "numpy>=2,<3"),
        (CondaRequirement("numpy", "2.1.0", "", "conda-forge"), "conda-forge::numpy=2.1.0"),
    ],
)
def test_conda_requirement_text__every_form__is_what_conda_writes(
    requirement: CondaRequirement, text: str
) -> None:
    assert requirement.text == text


@pytest.mark.parametrize(
    ("text", "name", "version"),
    [
        ("numpy==2.4.6", "numpy", "2.4.6"),
        ("numpy", "numpy", None),
        ("numpy>=2", "numpy", None),
        ("numpy==2.*", "numpy", None),
        ("Ruamel.Yaml[jinja2] == 0.18 ; python_version > '3'", "Ruamel.Yaml", "0.18"),
        ("typing_extensions===4.12.2", "typing_extensions", "4.12.2"),
        ("numpy==1,!=2", "numpy", None),
    ],
)
def test_wheel_requirement__every_form__has_name_and_pin(text: str, name: str, version: str | None) -> None:
    requirement = WheelRequirement(text)

    assert (requirement.name, requirement.version) == (name, version)
    assert requirement.canonical_name == canonicalize_name(name)


def test_canonicalize_name__runs_of_separators__become_one_hyphen() -> None:
    assert canonicalize_name("Foo._-Bar") == "foo-bar"
