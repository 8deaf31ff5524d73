from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from wq_package.build.conda.extracted import EditedFileError
from wq_package.build.conda.installed_prefix import find_installed_packages
from wq_package.build.conda.package_files import PackageFile
from wq_package.spec.environment import CondaRequirement, EnvironmentSpec

SITE = "lib/python3.11/site-packages"
PIN = CondaRequirement("demo", "1.0", "py_0")


def _write_meta(prefix: Path, name: str, version: str, build: str, **fields: object) -> None:
    document = {
        "name": name,
        "version": version,
        "build": build,
        "fn": f"{name}.conda",
        "url": f"https://example.org/noarch/{name}.conda",
        "channel": "https://example.org/noarch",
        "sha256": "ab" * 32,
        "paths_data": {"paths": [], "paths_version": 1},
    } | fields
    (prefix / "conda-meta").mkdir(exist_ok=True)
    (prefix / "conda-meta" / f"{name}-{version}-{build}.json").write_text(json.dumps(document))


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    module, script = tmp_path / SITE / "demo.py", tmp_path / "bin/demo"
    for path in (module, script):
        path.parent.mkdir(parents=True)
    module.write_text(f"home = '{tmp_path}'\n")
    script.write_text(
        "#!/x/bin/python\nimport sys\nfrom demo.cli import main\nif True:\n    sys.exit(main.run())\n"
    )
    original = hashlib.sha256(b"home = '/placeholder'\n").hexdigest()
    text = {"prefix_placeholder": "/placeholder", "file_mode": "text", "sha256": original}
    rows = [
        {"_path": f"{SITE}/demo.py", "path_type": "hardlink", **text},
        {"_path": f"{SITE}/__pycache__/demo.cpython-311.pyc", "path_type": "pyc_file"},
        {"_path": "bin/demo", "path_type": "unix_python_entry_point"},
    ]
    paths = {"paths": rows, "paths_version": 1}
    _write_meta(tmp_path, "python", "3.11.7", "h1_0")
    _write_meta(
        tmp_path, "demo", "1.0", "py_0", noarch="python", depends=["base >=1", "__glibc"], paths_data=paths
    )
    _write_meta(tmp_path, "base", "2.0", "0", depends=["python"])
    return tmp_path


def test_find__pin__comes_with_python_and_what_it_depends_on(prefix: Path) -> None:
    found = find_installed_packages(EnvironmentSpec(python="3.11", conda=(PIN,)), prefix)
    assert [package.record.name for package in found] == ["base", "demo", "python"]


def test_find__noarch__has_its_commands_and_no_bytecode(prefix: Path) -> None:
    demo = find_installed_packages(EnvironmentSpec(conda=(PIN,)), prefix)[1]
    assert demo.entry_points == {"demo": "demo.cli:main.run"}
    assert [file.path for file in demo.files] == [f"{SITE}/demo.py"]
    assert list(demo.iter_targets()) == [f"{SITE}/demo.py", "bin/demo"]


def test_read__file_made_for_its_prefix__is_turned_back(prefix: Path) -> None:
    demo = find_installed_packages(EnvironmentSpec(conda=(PIN,)), prefix)[1]
    assert demo.read(demo.files[0]) == b"home = '/placeholder'\n"


def test_read__edited_file__is_found_out(prefix: Path) -> None:
    demo = find_installed_packages(EnvironmentSpec(conda=(PIN,)), prefix)[1]
    (prefix / SITE / "demo.py").write_text("home = 'mine'\n")
    with pytest.raises(EditedFileError):
        demo.read(demo.files[0])


def test_read__file_without_a_digest__is_taken_as_it_is(prefix: Path) -> None:
    demo = find_installed_packages(EnvironmentSpec(conda=(PIN,)), prefix)[1]
    assert demo.read(PackageFile(f"{SITE}/demo.py")).startswith(b"home = ")


@pytest.mark.parametrize(
    "spec",
    [
        EnvironmentSpec(python="3.12", conda=(PIN,)),
        EnvironmentSpec(conda=(CondaRequirement("demo", "1.0"),)),
        EnvironmentSpec(conda=(CondaRequirement("demo", "1.0", "py_1"),)),
        EnvironmentSpec(conda=(CondaRequirement("demo", "1.0", "py_0", channel="other"),)),
        EnvironmentSpec(conda=(PIN, CondaRequirement("absent", "1", "0"))),
    ],
)
def test_find__anything_but_an_installed_pin__finds_nothing(spec: EnvironmentSpec, prefix: Path) -> None:
    assert find_installed_packages(spec, prefix) == ()


@pytest.mark.parametrize("damage", ["missing", "not JSON", "no digest"])
def test_find__dependency_that_cannot_be_told__finds_nothing(damage: str, prefix: Path) -> None:
    path = prefix / "conda-meta" / "base-2.0-0.json"
    if damage == "missing":
        path.unlink()
    else:
        path.write_text("{" if damage == "not JSON" else "{}")
    assert find_installed_packages(EnvironmentSpec(conda=(PIN,)), prefix) == ()


def test_find__what_is_wished_for__is_added_if_it_is_installed(prefix: Path) -> None:
    spec = EnvironmentSpec(python="3.11.7")
    found = find_installed_packages(spec, prefix, wished=["base", "libstdcxx"])
    assert [package.record.name for package in found] == ["base", "python"]
