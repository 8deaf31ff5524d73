"""`wq-package build --prefix`: archives of environments that exist, as a user meets them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from channel_package import PackageFile

from conda_channels import install, make_package, make_tiny_channel
from wq_package.archive.unpack import unpack_archive
from wq_package.build.conda.installed_prefix import open_prefix
from wq_package.build.conda.layer import plan_conda_layer
from wq_package.build.installed import InstalledDistribution, find_running_distributions
from wq_package.build.record import parse_record
from wq_package.errors import BuildError

_COMMAND = str(Path(sys.executable).with_name("wq-package"))
_SITE = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "WQ_PACKAGE_CACHE": str(folder / "cache")}
    return subprocess.run(
        [_COMMAND, *arguments], cwd=folder, env=variables, capture_output=True, text=True, check=False
    )


def _build(folder: Path, *options: str) -> str:
    done = _run(folder, "build", "--prefix", "venv", "-o", "env.tar.zst", "--offline", *options)
    assert done.returncode == 0, done.stderr
    return done.stderr


def _copy(distribution: InstalledDistribution, site: Path) -> None:
    """Install a distribution of this environment in another one, file by file."""
    for row in parse_record((distribution.read("RECORD") or b"").decode()):
        source = Path(distribution.site_folder, row.path)
        if not row.path.startswith("..") and source.exists():
            (site / row.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, site / row.path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a virtual environment with two distributions, an editable one, and a module that somebody dropped there."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    site = tmp_path / "venv" / _SITE
    for name in ("cloudpickle", "tblib"):
        _copy(find_running_distributions()[name], site)
    (site / "dropped.py").write_text("value = 1\n")
    (tmp_path / "project" / "mine").mkdir(parents=True)
    (tmp_path / "project" / "mine" / "__init__.py").write_text(
        "import cloudpickle\nvalue = 2\ndef main(): print('mine', value)\n"
    )
    (site / "mine.pth").write_text(f"{tmp_path / 'project'}\n")
    info = site / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: mine\nVersion: 1.0\nRequires-Dist: not-installed-anywhere\n")
    (info / "entry_points.txt").write_text(
        "[console_scripts]\nmine-command = mine:main\n[my.plugins]\na = mine\n"
    )
    (info / "RECORD").write_text("mine.pth,,\nmine-1.0.dist-info/METADATA,,\n")
    (info / "direct_url.json").write_text(json.dumps({"url": "file:///x", "dir_info": {"editable": True}}))
    return tmp_path


def _import(folder: Path, code: str) -> str:
    shutil.rmtree(folder / "moved", ignore_errors=True)
    unpack_archive(folder / "env.tar.zst", folder / "moved")
    command = [str(folder / "moved" / "bin" / "python3"), "-c", code]
    done = subprocess.run(command, env={}, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_prefix__virtual_environment__editable_and_dropped_code_travels(folder: Path) -> None:
    words = _build(folder)
    shutil.move(folder / "project", folder / "elsewhere")

    code = "import dropped, mine, tblib; print(dropped.value, mine.value, mine.__file__)"
    place = folder / "moved" / _SITE / "mine" / "__init__.py"
    assert _import(folder, code) == f"1 2 {place}"
    assert "--keep-edits" not in words


def test_prefix__editable_install__its_metadata_and_commands_travel(folder: Path) -> None:
    _build(folder)
    shutil.move(folder / "project", folder / "elsewhere")

    code = "from importlib import metadata as m; print(m.version('mine'), *m.entry_points(group='my.plugins').names)"
    assert _import(folder, code) == "1.0 a"
    command = [folder / "moved" / "bin" / "mine-command"]
    assert subprocess.run(command, env={}, capture_output=True, text=True, check=True).stdout == "mine 2\n"


def test_prefix__edited_distributions__are_named_and_packed_as_released(folder: Path) -> None:
    _build(folder)
    released = _run(folder, "inspect", "env.tar.zst", "--json").stdout
    (folder / "venv" / _SITE / "tblib" / "__init__.py").write_text("edited = True\n")
    (folder / "venv" / _SITE / "tblib" / "added.py").write_text("x = 1\n")

    for _ in range(2):  # whatever is cached
        words = _build(folder)
        assert "`tblib/__init__.py` was edited" in words
        assert "`tblib.added` was added" in words
    assert _run(folder, "inspect", "env.tar.zst", "--json").stdout == released


def test_prefix__keep_edits__packs_what_is_there_and_marks_it(folder: Path) -> None:
    _build(folder)
    site = folder / "venv" / _SITE
    (site / "tblib" / "__init__.py").write_text("edited = 1\n")
    (site / "tblib" / "added.py").write_text("x = 4\n")
    (site / "tblib" / "added.v2.json").write_text("{}")
    (site / "cloudpickle" / "cloudpickle_fast.py").unlink()

    words = _build(folder, "--keep-edits")
    assert "`tblib/__init__.py` was edited" in words
    assert "`cloudpickle/cloudpickle_fast.py` cannot be read" in words
    assert _import(folder, "import tblib.added; print(tblib.edited, tblib.added.x)") == "1 4"
    listing = "import pathlib, tblib; print(*pathlib.Path(tblib.__file__).parent.glob('added*.json'))"
    assert _import(folder, listing).endswith("/tblib/added.v2.json")
    (site / "tblib" / "__init__.py").write_text("edited = 2\n")
    _build(folder, "--keep-edits")
    assert _import(folder, "import tblib; print(tblib.edited)") == "2"
    builds = {
        layer["header"]["name"]: layer["header"].get("build")
        for layer in json.loads(_run(folder, "inspect", "env.tar.zst", "--json").stdout)["layers"]
    }
    assert builds["tblib"] == builds["cloudpickle"] == "edited"


def test_prefix__kept_edits__never_reach_other_builds(folder: Path) -> None:
    (folder / "venv" / _SITE / "tblib" / "__init__.py").write_text("edited = 1\n")
    _build(folder, "--keep-edits")
    version = find_running_distributions()["tblib"].version
    (folder / "spec.yml").write_text(f"dependencies:\n  - pip: [tblib=={version}]\n")

    assert _run(folder, "build", "spec.yml", "-o", "env.tar.zst", "--offline").returncode == 0
    assert _import(folder, "import tblib; print(hasattr(tblib, 'edited'))") == "False"


@pytest.mark.parametrize("name", ["project", "nowhere"])
def test_prefix__no_environment__says_so(folder: Path, name: str) -> None:
    done = _run(folder, "build", "--prefix", name)

    assert done.returncode == 4
    assert "is neither a virtual environment nor one of conda's" in done.stderr


def test_prefix__python_gone__says_so(folder: Path) -> None:
    for program in (folder / "venv" / "bin").glob("python*"):
        program.unlink()

    done = _run(folder, "build", "--prefix", "venv")

    assert done.returncode == 4
    assert "the environment's Python, does not run" in done.stderr


@pytest.mark.conda
def test_conda_prefix__edited_and_missing_files__named_or_kept(tmp_path: Path) -> None:
    pytest.importorskip("rattler")
    files = (PackageFile("share/a.txt", b"a"), PackageFile("share/b.txt", b"b"))
    url = make_tiny_channel(
        tmp_path / "channel", [make_package("python", "3.11.7"), make_package("demo", "1.0", *files)]
    )
    prefix = tmp_path / "prefix"
    install(url, ["python", "demo"], prefix, tmp_path)
    edited = prefix / "share" / "a.txt"
    edited.unlink()  # the package's copy is a hard link to it
    edited.write_bytes(b"mine")
    (prefix / "share" / "b.txt").unlink()

    demo = open_prefix(prefix)[0]
    with pytest.raises(BuildError, match=r"`share/a.txt` was edited, `share/b.txt` is missing"):
        plan_conda_layer(demo)

    kept = plan_conda_layer(open_prefix(prefix, keep_edits=True)[0])
    assert [entry.path for entry in kept.entries if entry.path.startswith("share")] == ["share/a.txt"]
