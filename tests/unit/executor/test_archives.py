from __future__ import annotations

import logging
import platform
from pathlib import Path

import pytest

from wq_package.errors import BuildError
from wq_package.executor.archives import check_versions, list_contents, name_archive
from wq_package.executor.drift import find_own_versions
from wq_package.executor.packed import Built, PackedLayer
from wq_package.spec.environment import CondaRequirement, EnvironmentSpec, LocalSource, WheelRequirement


def make_built(**versions: str) -> Built:
    layers = tuple(PackedLayer("wheel", name, version, 1) for name, version in versions.items())
    return Built(Path("env.tar.gz"), "digest", layers)


def test_check_versions__other_python__is_refused_with_a_table_and_a_hint() -> None:
    built = make_built(**{**find_own_versions(), "python": "3.8.1"})
    with pytest.raises(BuildError, match=r"python +3\.\d+\.\d+ +3\.8\.1") as caught:
        check_versions("env.tar.gz", built)
    assert "Python 3.8" in str(caught.value.hint)


def test_check_versions__other_cloudpickle__is_told_in_a_table(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check_versions("env.tar.gz", make_built(python=platform.python_version(), cloudpickle="0.1"))
        check_versions("other.tar.gz", make_built(**find_own_versions()))
    assert "cloudpickle" in caplog.text
    assert "other.tar.gz" not in caplog.text


def test_check_versions__loader_and_modules_of_the_users_own__are_not_compared(
    caplog: pytest.LogCaptureFixture,
) -> None:
    layers = (
        PackedLayer("interpreter", "python", platform.python_version(), 1),
        PackedLayer("local", "cloudpickle", "0123456789ab", 1),
        PackedLayer("local", "numpy", "ba9876543210", 1),
    )
    with caplog.at_level(logging.WARNING):
        check_versions("env", Built(Path("env"), "digest", layers))
    assert caplog.text == ""


def test_list_contents__address_with_a_password__is_told_without() -> None:
    spec = EnvironmentSpec(
        python="3.11.7",
        conda=(CondaRequirement("gcc"),),
        wheels=(WheelRequirement("six @ https://me:secret@example.org/six.whl"),),
        local=(LocalSource("mine", "/x/mine.py", ""),),
    )
    assert list_contents(spec) == "Python 3.11.7, gcc, six @ https://example.org/six.whl, your module mine"


@pytest.fixture
def editable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An editable install; the folder with its metadata."""
    (tmp_path / "project" / "mine").mkdir(parents=True)
    (tmp_path / "project" / "mine" / "__init__.py").write_text("")
    info = tmp_path / "site" / "mine-1.dist-info"
    info.mkdir(parents=True)
    (info / "RECORD").write_text("__editable__.mine.pth,,\n")
    (info / "METADATA").write_text("Name: mine\nVersion: 1\n")
    (info / "direct_url.json").write_text('{"dir_info": {"editable": true}, "url": "file:///project"}')
    (tmp_path / "site" / "__editable__.mine.pth").write_text(f"{tmp_path}/project\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return info


def test_name_archive__metadata_of_an_editable_install_changed__is_another(
    editable: Path, tmp_path: Path
) -> None:
    spec = EnvironmentSpec(local=(LocalSource("mine", str(tmp_path / "project" / "mine"), "0f"),))
    before = name_archive(spec)
    assert name_archive(spec) == before
    (editable / "entry_points.txt").write_text("[plugins]\nfit = mine:fit\n")
    assert name_archive(spec) != before
