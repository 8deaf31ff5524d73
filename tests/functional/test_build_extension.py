"""Archives that are joined with local source as it is now."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from wq_package.archive.layer import LayerKind
from wq_package.archive.reader import ArchiveReader
from wq_package.build import BuildOptions, build_environment
from wq_package.build.extension import extend_archive, list_absent
from wq_package.errors import ArchiveError, BuildError
from wq_package.spec.environment import EnvironmentSpec, LocalSource


def make_source(path: Path, text: str) -> LocalSource:
    path.write_text(text)
    return LocalSource(path.stem, str(path), "")


@pytest.mark.parametrize("ending", [".tar.zst", ".tar.gz"])
def test_extend__new_and_edited_source__joins_what_is_there(tmp_path: Path, ending: str) -> None:
    old = make_source(tmp_path / "old.py", "WORD = 'before'\n")
    other = make_source(tmp_path / "other.py", "WORD = 'as it was'\n")
    options = BuildOptions(cache=tmp_path / "cache", bytecode=False)
    base = tmp_path / f"base{ending}"
    built = build_environment(EnvironmentSpec(local=(old, other)), base, options)
    edited = make_source(tmp_path / "old.py", "WORD = 'after'\n")
    new = make_source(tmp_path / "new.py", "import old\nWORD = old.WORD\n")
    assert list_absent(built.index, (edited, new)) == (edited, new)

    extended = extend_archive(base, (edited, new), tmp_path / f"more{ending}", options)

    again = extend_archive(base, (new, edited), tmp_path / f"again{ending}", options)
    assert again.path.read_bytes() == extended.path.read_bytes()
    assert (again.layers_built, extended.layers_built) == (0, 2)
    with ArchiveReader(extended.path) as reader:
        assert reader.find_damage() == ()
        names = [layer.header.name for layer in reader.index.layers if layer.header.kind is LayerKind.LOCAL]
        locked = json.loads(reader.index.lock)["artefacts"]
    assert names == ["other", "new", "old"]
    assert [each["name"] for each in locked] == ["python", "other", "new", "old"]
    (tmp_path / "there").mkdir()
    subprocess.run(["tar", "-xf", extended.path, "-C", tmp_path / "there"], check=True)
    code = "import new, other; print(new.WORD, other.WORD, sep=', ')"
    command = [str(tmp_path / "there" / "bin" / "python3"), "-c", code]
    done = subprocess.run(command, env={}, capture_output=True, text=True, check=False, cwd="/")
    assert done.stdout == "after, as it was\n", done.stderr


def test_extend__no_archive__leaves_nothing(tmp_path: Path) -> None:
    source = make_source(tmp_path / "new.py", "")
    options = BuildOptions(cache=tmp_path / "cache", bytecode=False)
    with pytest.raises(ArchiveError, match="cannot be opened"):
        extend_archive(tmp_path / "none.tar.zst", (source,), tmp_path / "out.tar.zst", options)
    assert not (tmp_path / "out.tar.zst").exists()


def test_extend__source_is_gone__says_which(tmp_path: Path) -> None:
    options = BuildOptions(cache=tmp_path / "cache", bytecode=False)
    build_environment(EnvironmentSpec(), tmp_path / "base.tar.zst", options)
    gone = LocalSource("gone", str(tmp_path / "gone.py"), "")
    with pytest.raises(BuildError, match="`gone`"):
        extend_archive(tmp_path / "base.tar.zst", (gone,), tmp_path / "out.tar.zst", options)
    assert not (tmp_path / "out.tar.zst").exists()
