from __future__ import annotations

from pathlib import Path

from wq_package.build.conda.extracted import ExtractedPackage
from wq_package.build.conda.ownership import find_ownership, sort_dependencies_first
from wq_package.build.conda.package_files import PackageFile
from wq_package.build.conda.records import parse_record
from wq_package.build.conda.staged_python import select_python_closure

SITE = "lib/python3.11/site-packages"


def make_package(name: str, *paths: str, depends: tuple[str, ...] = (), noarch: str = "") -> ExtractedPackage:
    record = parse_record(
        {
            "name": name,
            "version": "1",
            "build": "0",
            "fn": "",
            "url": "",
            "depends": depends,
            "noarch": noarch,
        }
    )
    return ExtractedPackage(record, Path("/nowhere"), tuple(map(PackageFile, paths)), {}, SITE)


def test_find_ownership__path_in_two_packages__goes_to_the_one_that_depends_on_the_other() -> None:
    low = make_package("zlow", "share/a", "share/b")
    high = make_package("ahigh", "share/b", depends=("zlow >=1",))
    found = find_ownership([high, low])
    assert found.owners == {"share/a": "zlow", "share/b": "ahigh"}
    assert found.shadowed == {"zlow": frozenset({"share/b"}), "ahigh": frozenset()}


def test_find_ownership__reserved_path__belongs_to_nobody() -> None:
    found = find_ownership([make_package("a", "bin/activate", "bin/a")], {"bin/activate"})
    assert found.owners == {"bin/a": "a"}
    assert found.shadowed == {"a": frozenset({"bin/activate"})}


def test_find_ownership__distributions__by_canonical_name() -> None:
    arch = make_package("pyyaml", f"{SITE}/PyYAML-6.0.3.dist-info/METADATA")
    pure = make_package("rich", "site-packages/rich-15.0.0.dist-info/METADATA", noarch="python")
    old = make_package("old", f"{SITE}/old_one-1.5.egg-info/PKG-INFO")
    found = find_ownership([arch, pure, old, make_package("zlib", "lib/libz.so")])
    assert found.distributions == {"pyyaml": "6.0.3", "rich": "15.0.0", "old-one": "1.5"}


def test_sort_dependencies_first__cycle__ends() -> None:
    packages = [make_package("python", depends=("pip",)), make_package("pip", depends=("python >=3",))]
    assert {package.record.name for package in sort_dependencies_first(packages)} == {"python", "pip"}


def test_sort_dependencies_first__dependency_that_is_not_there__is_passed_over() -> None:
    packages = [make_package("b", depends=("a", "__glibc >=2.17")), make_package("a")]
    assert [package.record.name for package in sort_dependencies_first(packages)] == ["a", "b"]


def test_select_python_closure__leaves_out_what_python_does_not_need() -> None:
    packages = [
        make_package("numpy", depends=("python", "libblas")),
        make_package("python", depends=("openssl >=3", "zlib")),
        make_package("openssl", depends=("ca-certificates",)),
        make_package("ca-certificates"),
        make_package("libblas"),
    ]
    names = [package.record.name for package in select_python_closure(packages)]
    assert names == ["ca-certificates", "openssl", "python"]
