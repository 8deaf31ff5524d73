from __future__ import annotations

from pathlib import Path

import pytest

from wq_package.errors import SpecError
from wq_package.executor.given import Given, GivenKind, find_given


def make_conda(folder: Path) -> Path:
    (folder / "conda-meta").mkdir(parents=True)
    return folder.resolve()


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("env.tar.gz", "", GivenKind.ARCHIVE),
        ("env.tar.zst", "", GivenKind.ARCHIVE),
        ("environment.yml", "name: x\n", GivenKind.SPEC),
        ("poncho.json", '{"conda": {}}', GivenKind.SPEC),
        ("env.lock", '{"artefacts":[],"lock-version":1}\n', GivenKind.LOCK),
        ("lock.json", '{"artefacts":[' + " " * 5000 + '],"lock-version":1}\n', GivenKind.LOCK),
    ],
)
def test_file__is_told_by_name_and_content(tmp_path: Path, name: str, content: str, kind: GivenKind) -> None:
    path = tmp_path / name
    path.write_text(content)
    assert find_given(str(path), tmp_path / "none", {}) == Given(kind, path.resolve())


@pytest.mark.parametrize("name", ["absent.tar.gz", "absent.yml", "folder/absent"])
def test_path__that_is_not_there__is_left_to_who_reads_it(tmp_path: Path, name: str) -> None:
    assert find_given(str(tmp_path / name), tmp_path, {}).path == (tmp_path / name).resolve()


def test_folder__is_an_environment(tmp_path: Path) -> None:
    assert find_given(str(tmp_path), tmp_path, {}) == Given(GivenKind.PREFIX, tmp_path.resolve())


@pytest.mark.parametrize(
    ("place", "variables"),
    [
        ("many/physics", {"CONDA_ENVS_PATH": "/nowhere:{}/many"}),
        ("base/envs/physics", {"CONDA_PREFIX": "{}/base"}),
        ("base/envs/physics", {"CONDA_PREFIX": "{}/base/envs/other"}),
        ("root/envs/physics", {"MAMBA_ROOT_PREFIX": "{}/root"}),
        ("conda/envs/physics", {"CONDA_EXE": "{}/conda/bin/conda"}),
        ("miniforge3/envs/physics", {"HOME": "{}"}),
    ],
)
def test_name__of_a_conda_environment__is_found_where_conda_keeps_them(
    tmp_path: Path, place: str, variables: dict[str, str]
) -> None:
    folder = make_conda(tmp_path / place)
    told = {key: value.format(tmp_path) for key, value in variables.items()}
    assert find_given("physics", tmp_path / "none", told) == Given(GivenKind.PREFIX, folder)


def test_name__conda_has_noted_its_place__is_found(tmp_path: Path) -> None:
    folder = make_conda(tmp_path / "far" / "physics")
    (tmp_path / ".conda").mkdir()
    (tmp_path / ".conda" / "environments.txt").write_text(f"{tmp_path}/gone\n{folder}\n")
    assert find_given("physics", tmp_path / "none", {"HOME": str(tmp_path)}).path == folder


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("physics", "there is no environment `physics`: neither a file"),
        ("0123abcd", "begins the digest of no environment that was built here"),
    ],
)
def test_name__of_nothing__is_refused_with_a_hint(tmp_path: Path, given: str, reason: str) -> None:
    with pytest.raises(SpecError, match=reason) as caught:
        find_given(given, tmp_path, {})
    assert caught.value.hint
