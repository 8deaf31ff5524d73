from __future__ import annotations

import pytest
import yaml

from wq_package.errors import InvalidSpecError
from wq_package.spec.environment import CondaRequirement, EnvironmentSpec, LocalSource, WheelRequirement
from wq_package.spec.environment_yml import (
    parse_conda_requirement,
    parse_environment_yml,
    render_environment_yml,
)

FULL = EnvironmentSpec(
    name="study",
    python="3.11.7",
    channels=("conda-forge", "https://conda.example.org/other"),
    conda=(CondaRequirement("libyaml", "0.2.5", "h7f98852_2"), CondaRequirement("gcc")),
    wheels=(WheelRequirement("numpy==2.1.0"), WheelRequirement("dask[array]>=2; python_version > '3.8'")),
    local=(LocalSource("helpers", "./my helpers.py", "0" * 64),),
)


def test_render__full_spec__is_what_conda_reads() -> None:
    document = yaml.safe_load(render_environment_yml(FULL))

    assert document["name"] == "study"
    assert document["channels"] == ["conda-forge", "https://conda.example.org/other"]
    assert document["dependencies"] == [
        "python=3.11.7",
        "pip",
        "libyaml=0.2.5=h7f98852_2",
        "gcc",
        {"pip": ["numpy==2.1.0", "dask[array]>=2; python_version > '3.8'"]},
    ]
    assert document["wq-package"] == {
        "local": [{"import": "helpers", "path": "./my helpers.py", "digest": "0" * 64}]
    }


def test_parse__rendered_spec__is_the_spec() -> None:
    assert parse_environment_yml(render_environment_yml(FULL), "env.yml") == FULL


def test_render__nothing_but_python__has_no_pip() -> None:
    assert render_environment_yml(EnvironmentSpec(python="3.11.7")) == (
        "channels:\n  - conda-forge\ndependencies:\n  - python=3.11.7\n"
    )


@pytest.mark.parametrize("name", ["yes", "3.10", "a: b", "#x", "- x", "é", "tab\there", "null"])
def test_render__awkward_name__is_read_back_as_text(name: str) -> None:
    assert yaml.safe_load(render_environment_yml(EnvironmentSpec(name=name)))["name"] == name


@pytest.mark.parametrize(
    ("text", "requirement"),
    [
        ("numpy", CondaRequirement("numpy")),
        ("NumPy=2", CondaRequirement("numpy", "2")),
        ("numpy=2.1=py311_0", CondaRequirement("numpy", "2.1", "py311_0")),
        ("numpy==2.1.0", CondaRequirement("numpy", "2.1.0")),
        ("numpy >=1.20, <2", CondaRequirement("numpy", ">=1.20,<2")),
        ("numpy 1.20.* py_0", CondaRequirement("numpy", "1.20.*", "py_0")),
        ("conda-forge::numpy=2", CondaRequirement("numpy", "2", channel="conda-forge")),
        ("numpy=*=py_0", CondaRequirement("numpy", "*", "py_0")),
        ("_libgcc_mutex=0.1=conda_forge", CondaRequirement("_libgcc_mutex", "0.1", "conda_forge")),
        ("", None),
        ("numpy[version='>1']", None),
        ("num py one two three four", None),
        ("=1", None),
    ],
)
def test_parse_conda_requirement__every_form__is_understood(
    text: str, requirement: CondaRequirement | None
) -> None:
    assert parse_conda_requirement(text) == requirement


def test_parse__many_mistakes__names_them_all() -> None:
    text = """
name: [a]
chanels: [x]
channels: conda-forge
dependencies: ["num py one two three", {"pip": ["numpy=2"]}, 3]
wq-package: {local: [{import: "not a name", path: x.py}, {path: 1}]}
"""
    with pytest.raises(InvalidSpecError) as raised:
        parse_environment_yml(text, "env.yml")

    assert raised.value.path == "env.yml"
    joined = "\n".join(raised.value.issues)
    for word in (
        "chanels",
        "`name`",
        "`channels`",
        "num py",
        "numpy=2",
        "`3`",
        "not a name",
        "needs a `path`",
    ):
        assert word in joined


@pytest.mark.parametrize(
    "text", ["", "[1, 2]", "a: [", "just text", "dependencies: 3", "&a [*a]", "{" * 3000]
)
def test_parse__no_mapping__is_an_invalid_spec(text: str) -> None:
    with pytest.raises(InvalidSpecError):
        parse_environment_yml(text, "env.yml")


def test_parse__tag_that_would_make_an_object__is_refused() -> None:
    with pytest.raises(InvalidSpecError):
        parse_environment_yml("name: !!python/object/apply:os.system ['true']", "env.yml")


def test_parse__python_constraint__is_kept() -> None:
    assert parse_environment_yml("dependencies: ['python>=3.10']", "env.yml").python == ">=3.10"


class _Notes:
    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def read_note(self, note: str) -> str | None:
        return self.kept.get(note)

    def add_note(self, note: str, text: str = "") -> None:
        self.kept[note] = text


def test_parse__same_text_again__needs_no_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    notes, text = _Notes(), render_environment_yml(FULL)
    first = parse_environment_yml(text, "env.yml", notes)
    monkeypatch.delattr(yaml, "load")

    assert parse_environment_yml(text, "env.yml", notes) == first == FULL
    with pytest.raises(AttributeError):
        parse_environment_yml(text + " ", "env.yml", notes)


@pytest.mark.parametrize(
    "text",
    ["name: 2026-01-01\ndependencies: []", "1: x\ndependencies: []", "a: &a [1]\nb: [*a]\nname: {2: 3}"],
)
def test_parse__what_json_cannot_say__is_not_noted(text: str) -> None:
    notes = _Notes()
    issues = []
    for known in (None, notes, notes):
        with pytest.raises(InvalidSpecError) as raised:
            parse_environment_yml(text, "env.yml", known)
        issues.append(raised.value.issues)

    assert issues[0] == issues[1] == issues[2]
    assert not notes.kept


def test_parse__damaged_note__is_made_again() -> None:
    notes = _Notes()
    parse_environment_yml("name: a", "env.yml", notes)
    (key,) = notes.kept
    notes.kept[key] = '{"name": '

    assert parse_environment_yml("name: a", "env.yml", notes).name == "a"
    assert notes.kept[key] == '{"name": "a"}'


@pytest.mark.parametrize("text", ["python=3.11.7=h123_0", "conda-forge::python=3.11.7"])
def test_parse__python_of_one_build_or_channel__is_a_conda_package(text: str) -> None:
    spec = parse_environment_yml(f"dependencies: ['{text}', pip]", "env.yml")

    assert spec.python == "3.11.7"
    assert [each.text for each in spec.conda] == [text]
    assert yaml.safe_load(render_environment_yml(spec))["dependencies"] == [text]


def test_parse__key_that_overrides_a_joined_one__is_not_there_twice() -> None:
    text = (
        "wq-package: {git: {A: &a {<<: {remote: 'https://x/old', ref: v1}, remote: 'https://x/new'}}}\n"
        "variables: {<<: *a, ref: v2}\n"
    )

    spec = parse_environment_yml(text, "env.yml")

    assert [source.url for source in spec.data] == ["https://x/new"]
    assert dict(spec.variables) == {"remote": "https://x/new", "ref": "v2"}
