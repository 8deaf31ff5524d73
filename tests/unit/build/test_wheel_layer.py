from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from wq_package.archive.layer import Compression, LayerEntry, LayerKind
from wq_package.archive.writer import write_layer
from wq_package.build.installed import InstalledDistribution, find_distributions
from wq_package.build.interpreter import describe_running_interpreter
from wq_package.build.layer_plan import LayerPlan
from wq_package.build.record import encode_digest
from wq_package.build.wheel_layer import plan_wheel_layer
from wq_package.errors import AlteredDistributionError

_PYTHON = describe_running_interpreter()
_SITE = _PYTHON.site_packages
_INFO = "demo-1.0.dist-info"
_FILES = {
    "demo/__init__.py": b"x = 1\n",
    "demo/tests/test_x.py": b"assert True\n",
    "demo/data.bin": b"\0" * 100,
    "demo_single.py": b"y = 2\n",
    f"{_INFO}/METADATA": b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\nRequires-Dist: numpy\n\n",
    f"{_INFO}/WHEEL": b"Wheel-Version: 1.0\n",
    f"{_INFO}/entry_points.txt": b"[console_scripts]\ndemo = demo:main\n",
}


@dataclass(frozen=True)
class _Installer:
    """How one of the installers leaves a distribution."""

    prefix: str
    scripts: Mapping[str, bytes]
    traces: Mapping[str, bytes]


_PIP = _Installer(
    "venv",
    {"demo": b"#!/home/a/venv/bin/python\nimport re\n", "old-demo": b"#!/home/a/venv/bin/python\nprint(1)\n"},
    {f"{_INFO}/INSTALLER": b"pip\n", "demo/__pycache__/__init__.cpython-311.pyc": b"old"},
)
_UV = _Installer(
    "other place/prefix",
    {
        "demo": b"#!/bin/sh\n'''exec' ...\n' '''\n",
        "old-demo": b"#!/bin/sh\n'''exec' \"/b c/python\" \"$0\" \"$@\"\n' '''\nprint(1)\n",
    },
    {f"{_INFO}/INSTALLER": b"uv", f"{_INFO}/REQUESTED": b"", f"{_INFO}/direct_url.json": b"{}"},
)


def _install(root: Path, installer: _Installer) -> InstalledDistribution:
    site = root / installer.prefix / "lib" / _PYTHON.name / "site-packages"
    files = {
        **_FILES,
        **installer.traces,
        **{f"../../../bin/{name}": data for name, data in installer.scripts.items()},
    }
    text = io.StringIO()
    rows = csv.writer(text)
    for name, data in files.items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o755 if "/bin/" in name else 0o644)
        rows.writerow((name, encode_digest(hashlib.sha256(data).digest()), len(data)))
    rows.writerow((f"{_INFO}/RECORD", "", ""))
    (site / _INFO / "RECORD").write_text(text.getvalue())
    return find_distributions([str(site)])["demo"]


def _digest(plan: LayerPlan) -> str:
    return write_layer(plan.header, plan.entries, plan.relocations, io.BytesIO(), Compression.ZSTD).digest


def _read(entry: LayerEntry) -> bytes:
    return entry.source.read_bytes() if isinstance(entry.source, Path) else entry.source or b""


def test_plan__two_installers__give_the_same_layer(tmp_path: Path) -> None:
    plans = [
        plan_wheel_layer(_install(tmp_path / str(number), each), _PYTHON)
        for number, each in enumerate((_PIP, _UV))
    ]

    assert _digest(plans[0]) == _digest(plans[1])


def test_plan__header_names_imports_and_requirements(tmp_path: Path) -> None:
    plan = plan_wheel_layer(_install(tmp_path, _PIP), _PYTHON)

    assert plan.header.kind is LayerKind.WHEEL
    assert (plan.header.name, plan.header.version, plan.header.machine) == ("demo", "1.0", "")
    assert plan.header.imports == ("demo", "demo_single")
    assert plan.requires == ("numpy",)


def test_plan__record__lists_every_file_with_its_own_digest(tmp_path: Path) -> None:
    plan = plan_wheel_layer(_install(tmp_path, _PIP), _PYTHON)
    entries = {entry.path: entry for entry in plan.entries}

    rows = list(csv.reader(io.StringIO(_read(entries[f"{_SITE}/{_INFO}/RECORD"]).decode())))

    assert rows[-1] == [f"{_INFO}/RECORD", "", ""]
    assert [row[0] for row in rows[:-1]] == sorted(row[0] for row in rows[:-1])
    for path, digest, size in rows[:-1]:
        where = f"bin/{Path(path).name}" if path.startswith("../") else f"{_SITE}/{path}"
        data = _read(entries[where])
        assert (encode_digest(hashlib.sha256(data).digest()), len(data)) == (digest, int(size))
    assert len(rows) == len(entries)


def test_plan__nothing_of_the_installer_or_its_folder__gets_in(tmp_path: Path) -> None:
    plan = plan_wheel_layer(_install(tmp_path, _PIP), _PYTHON)

    assert not [
        entry.path for entry in plan.entries if "INSTALLER" in entry.path or entry.path.endswith(".pyc")
    ]
    assert not [entry.path for entry in plan.entries if b"/home/a" in _read(entry)]


def test_plan__sources_to_compile__are_those_that_a_task_may_import(tmp_path: Path) -> None:
    plan = plan_wheel_layer(_install(tmp_path, _PIP), _PYTHON)

    assert [path for _, path in plan.sources] == [f"{_SITE}/demo/__init__.py", f"{_SITE}/demo_single.py"]


def test_plan__edited_and_missing_files__are_all_named(tmp_path: Path) -> None:
    demo = _install(tmp_path, _PIP)
    Path(demo.site_folder, "demo_single.py").write_text("y = 3\n")
    Path(demo.site_folder, "demo/data.bin").unlink()

    with pytest.raises(AlteredDistributionError) as caught:
        plan_wheel_layer(demo, _PYTHON)

    assert len(caught.value.issues) == 2
    assert "`demo_single.py` was edited" in str(caught.value)
    assert "demo/data.bin" in str(caught.value)
    assert caught.value.hint


def test_plan__files_outside_the_environment__are_refused(tmp_path: Path) -> None:
    demo = _install(tmp_path, _PIP)
    record = demo.info_folder / "RECORD"
    record.write_text(record.read_text() + "/etc/hostname,,\n")

    with pytest.raises(AlteredDistributionError, match="/etc/hostname"):
        plan_wheel_layer(demo, _PYTHON)


def test_plan__no_record__is_refused(tmp_path: Path) -> None:
    demo = _install(tmp_path, _PIP)
    (demo.info_folder / "RECORD").unlink()

    with pytest.raises(AlteredDistributionError, match="RECORD is missing"):
        plan_wheel_layer(demo, _PYTHON)
