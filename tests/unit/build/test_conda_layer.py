from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wq_package.archive.layer import LayerEntry, LayerKind, Relocation, RelocationMode
from wq_package.build.conda.extracted import ExtractedPackage, open_package
from wq_package.build.conda.layer import plan_conda_layer
from wq_package.build.conda.records import parse_record
from wq_package.build.layer_plan import LayerPlan
from wq_package.errors import BuildError, NotRelocatableError

SITE = "lib/python3.11/site-packages"
PLACEHOLDER = "/placeholder" * 10


class Maker:
    """Writes an extracted package, file by file."""

    def __init__(self, folder: Path, **fields: object) -> None:
        self.folder = folder
        self.fields = {
            "name": "demo",
            "version": "1.0",
            "build": "h1_0",
            "fn": "demo-1.0-h1_0.conda",
            "url": "file:///home/ann/channel/linux-64/demo-1.0-h1_0.conda",
            "channel": "file:///home/ann/channel/",
            "subdir": "linux-64",
            "sha256": "ab" * 32,
            "indexed_timestamp": 17,
        } | fields
        self.rows: list[dict[str, object]] = []

    def add(self, path: str, data: str | bytes = "", mode: int = 0o644, **row: object) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data if isinstance(data, bytes) else data.encode())
        target.chmod(mode)
        self.rows.append({"_path": path, "path_type": "hardlink", "sha256": "cd" * 32, **row})

    def add_link(self, path: str, target: str, **row: object) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).symlink_to(target)
        self.rows.append({"_path": path, "path_type": "softlink", **row})

    def write_info(self, name: str, document: object) -> None:
        (self.folder / "info").mkdir(exist_ok=True)
        (self.folder / "info" / name).write_text(json.dumps(document))

    def open(self) -> ExtractedPackage:
        self.write_info("paths.json", {"paths": self.rows, "paths_version": 1})
        return open_package(parse_record(self.fields), self.folder, SITE)


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    return Maker(tmp_path)


def _find(plan: LayerPlan, path: str) -> LayerEntry:
    return next(entry for entry in plan.entries if entry.path == path)


def _read_meta(plan: LayerPlan) -> dict[str, object]:
    source = _find(plan, "conda-meta/demo-1.0-h1_0.json").source
    assert isinstance(source, bytes)
    found: dict[str, object] = json.loads(source)
    return found


TEXT: dict[str, Any] = {"file_mode": "text", "prefix_placeholder": PLACEHOLDER}
BINARY: dict[str, Any] = {"file_mode": "binary", "prefix_placeholder": PLACEHOLDER}


def test_plan__header__names_the_package(maker: Maker) -> None:
    maker.add(f"{SITE}/demo/__init__.py")
    header = plan_conda_layer(maker.open()).header
    assert (header.kind, header.name, header.version, header.build) == (
        LayerKind.CONDA,
        "demo",
        "1.0",
        "h1_0",
    )
    assert (header.source, header.machine, header.imports) == ("sha256:" + "ab" * 32, "", ("demo",))


def test_plan__text_and_binary_placeholders__become_relocations(maker: Maker) -> None:
    maker.add("etc/demo.ini", f"home={PLACEHOLDER}/share", **TEXT)
    maker.add("lib/demo.bin", f"\0{PLACEHOLDER}\0", **BINARY)
    maker.add("share/plain", "nothing")
    assert plan_conda_layer(maker.open()).relocations == (
        Relocation("etc/demo.ini", RelocationMode.TEXT, PLACEHOLDER),
        Relocation("lib/demo.bin", RelocationMode.BINARY, PLACEHOLDER),
    )


def test_plan__python_script__needs_no_relocation(maker: Maker) -> None:
    maker.add("bin/demo", f"#!{PLACEHOLDER}/bin/python3.11\nprint(1)\n", 0o755, **TEXT)
    plan = plan_conda_layer(maker.open())
    source = _find(plan, "bin/demo").source
    assert isinstance(source, bytes)
    assert source.startswith(b"#!/bin/sh\n")
    assert source.endswith(b"print(1)\n")
    assert plan.relocations == ()


def test_plan__python_script_that_names_its_prefix_elsewhere__is_still_relocated(maker: Maker) -> None:
    maker.add("bin/demo", f"#!{PLACEHOLDER}/bin/python\nprint('{PLACEHOLDER}')\n", 0o755, **TEXT)
    plan = plan_conda_layer(maker.open())
    assert plan.relocations == (Relocation("bin/demo", RelocationMode.TEXT, PLACEHOLDER),)


def test_plan__python_script_with_a_docstring__keeps_it(maker: Maker) -> None:
    text = f'#!{PLACEHOLDER}/bin/python\n"""Usage: demo"""\nfrom __future__ import annotations\n'
    maker.add("bin/demo", text, 0o755, **TEXT)
    plan = plan_conda_layer(maker.open())
    assert _find(plan, "bin/demo").source == maker.folder / "bin/demo"
    assert plan.relocations == (Relocation("bin/demo", RelocationMode.TEXT, PLACEHOLDER),)


def test_plan__script_of_another_language__keeps_its_first_line(maker: Maker) -> None:
    maker.add("bin/demo", f"#!{PLACEHOLDER}/bin/perl\n", 0o755, **TEXT)
    plan = plan_conda_layer(maker.open())
    assert _find(plan, "bin/demo").source == maker.folder / "bin/demo"
    assert plan.relocations == (Relocation("bin/demo", RelocationMode.TEXT, PLACEHOLDER),)


def test_plan__python_script_outside_bin__keeps_its_first_line(maker: Maker) -> None:
    maker.add("libexec/demo", f"#!{PLACEHOLDER}/bin/python\n", 0o755, **TEXT)
    assert plan_conda_layer(maker.open()).relocations == (
        Relocation("libexec/demo", RelocationMode.TEXT, PLACEHOLDER),
    )


def test_plan__noarch_python__goes_to_site_packages_and_gets_its_commands(tmp_path: Path) -> None:
    maker = Maker(tmp_path, noarch="python")
    maker.add("site-packages/demo.py", "x = 1\n")
    maker.write_info("link.json", {"noarch": {"type": "python", "entry_points": ["demo = demo:main"]}})
    plan = plan_conda_layer(maker.open())
    assert _find(plan, f"{SITE}/demo.py").source == tmp_path / "site-packages/demo.py"
    script = _find(plan, "bin/demo")
    assert isinstance(script.source, bytes)
    assert b"from demo import main" in script.source
    assert script.mode & 0o100
    assert plan.sources == ((tmp_path / "site-packages/demo.py", f"{SITE}/demo.py"),)


def test_plan__bytecode_of_a_source__is_made_anew(maker: Maker) -> None:
    maker.add(f"{SITE}/demo.py", "x = 1\n")
    maker.add(f"{SITE}/__pycache__/demo.cpython-311.pyc", b"old")
    maker.add(f"{SITE}/__pycache__/alone.cpython-311.pyc", b"kept: it has no source")
    paths = {entry.path for entry in plan_conda_layer(maker.open()).entries}
    assert f"{SITE}/__pycache__/demo.cpython-311.pyc" not in paths
    assert f"{SITE}/__pycache__/alone.cpython-311.pyc" in paths


def test_plan__tests_and_relocated_modules__are_not_compiled(maker: Maker) -> None:
    maker.add(f"{SITE}/demo/tests/test_a.py", "x = 1\n")
    maker.add(f"{SITE}/demo/paths.py", f"home = '{PLACEHOLDER}'\n", **TEXT)
    maker.add("share/demo.py", "x = 1\n")
    assert plan_conda_layer(maker.open()).sources == ()


def test_plan__links__stay_links(maker: Maker) -> None:
    maker.add_link("lib/libdemo.so", "libdemo.so.1")
    maker.add_link(
        "bin/demo", f"{PLACEHOLDER}/lib/demo/run", prefix_placeholder=PLACEHOLDER, file_mode="text"
    )
    plan = plan_conda_layer(maker.open())
    assert _find(plan, "lib/libdemo.so").link_target == "libdemo.so.1"
    assert _find(plan, "bin/demo").link_target == "../lib/demo/run"


def test_plan__link_to_the_maker_s_machine__is_refused(maker: Maker) -> None:
    maker.add_link("lib/libdemo.so", "/usr/lib/libdemo.so.1")
    with pytest.raises(NotRelocatableError, match=r"links to `/usr/lib/libdemo\.so\.1`"):
        plan_conda_layer(maker.open())


def test_plan__link_in_a_roundabout_form__is_straightened(maker: Maker) -> None:
    maker.add_link("lib/libdemo.so", "../lib/./libdemo.so.1")
    assert _find(plan_conda_layer(maker.open()), "lib/libdemo.so").link_target == "../lib/libdemo.so.1"


def test_plan__listed_file_that_is_missing__says_so(maker: Maker) -> None:
    maker.add("share/here")
    maker.rows.append({"_path": "share/gone", "path_type": "hardlink"})
    with pytest.raises(BuildError, match=r"`demo-1\.0-h1_0` is damaged: `share/gone` is missing"):
        plan_conda_layer(maker.open())


def test_plan__python__brings_the_mark_of_a_conda_environment(tmp_path: Path) -> None:
    plan = plan_conda_layer(Maker(tmp_path, name="python").open())
    assert _find(plan, "conda-meta/history").source == b""


def test_plan__paths_of_another_package__are_left_out_everywhere(maker: Maker) -> None:
    maker.add("share/mine", "1")
    maker.add("share/theirs", f"{PLACEHOLDER}", **TEXT)
    plan = plan_conda_layer(maker.open(), without={"share/theirs"})
    assert {entry.path for entry in plan.entries} == {"share/mine", "conda-meta/demo-1.0-h1_0.json"}
    assert plan.relocations == ()
    assert _read_meta(plan)["files"] == ["share/mine"]


def test_plan__conda_meta__holds_nothing_of_this_machine(maker: Maker) -> None:
    maker.add("etc/demo.ini", f"home={PLACEHOLDER}", **TEXT)
    maker.add("share/plain", "nothing")
    meta = _read_meta(plan_conda_layer(maker.open()))
    text = json.dumps(meta)
    assert str(maker.folder) not in text
    assert "/home/ann" not in text
    assert PLACEHOLDER not in text
    assert "indexed_timestamp" not in meta
    assert meta["url"] == "file:///channel/linux-64/demo-1.0-h1_0.conda"
    assert meta["paths_data"] == {
        "paths": [
            {"_path": "etc/demo.ini", "path_type": "hardlink"},
            {
                "_path": "share/plain",
                "path_type": "hardlink",
                "sha256": "cd" * 32,
                "sha256_in_prefix": "cd" * 32,
            },
        ],
        "paths_version": 1,
    }


def test_open_package__from_before_paths_json(maker: Maker) -> None:
    maker.add("etc/demo.ini", "/old/prefix/share")
    maker.rows.clear()
    info = maker.folder / "info"
    info.mkdir()
    (info / "files").write_text("etc/demo.ini\n")
    (info / "has_prefix").write_text("/old/prefix text etc/demo.ini\n")
    plan = plan_conda_layer(open_package(parse_record(maker.fields), maker.folder, SITE))
    assert plan.relocations == (Relocation("etc/demo.ini", RelocationMode.TEXT, "/old/prefix"),)
