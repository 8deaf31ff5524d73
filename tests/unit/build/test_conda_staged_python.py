from __future__ import annotations

from pathlib import Path

from wq_package.archive.layer import RelocationMode
from wq_package.build.conda.extracted import ExtractedPackage
from wq_package.build.conda.package_files import PackageFile
from wq_package.build.conda.records import parse_record
from wq_package.build.conda.staged_python import stage_python


def _make_python(folder: Path) -> ExtractedPackage:
    for path, text in {"bin/python3.11": "program", "lib/settings.py": "home = '/old/place/lib'\n"}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "bin/python3.11").chmod(0o755)
    (folder / "bin/python3").symlink_to("python3.11")
    files = (
        PackageFile("bin/python3"),
        PackageFile("bin/python3.11"),
        PackageFile("lib/settings.py", RelocationMode.TEXT, "/old/place"),
        PackageFile("var/empty", is_folder=True),
    )
    record = parse_record({"name": "python", "version": "3.11.7", "build": "0", "fn": "", "url": ""})
    return ExtractedPackage(record, folder, files, {}, "lib/python3.11/site-packages")


def test_stage_python__links_what_is_the_same_and_rewrites_what_is_not(tmp_path: Path) -> None:
    package = _make_python(tmp_path / "package")
    prefix = stage_python([package], tmp_path)
    assert (prefix / "bin/python3.11").samefile(package.folder / "bin/python3.11")
    assert (prefix / "bin/python3").readlink() == Path("python3.11")
    assert (prefix / "lib/settings.py").read_text() == f"home = '{prefix}/lib'\n"
    assert (package.folder / "lib/settings.py").read_text() == "home = '/old/place/lib'\n"
    assert (prefix / "var/empty").is_dir()
    assert (prefix / "conda-meta/python-3.11.7-0.json").is_file()


def test_stage_python__again__is_the_same_folder_untouched(tmp_path: Path) -> None:
    package = _make_python(tmp_path / "package")
    prefix = stage_python([package], tmp_path)
    (prefix / "mark").touch()
    assert stage_python([package], tmp_path) == prefix
    assert (prefix / "mark").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
