"""What holds for every conda package and every channel's URL."""

from __future__ import annotations

import json
import string
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from wq_package.archive.layer import Relocation, RelocationMode
from wq_package.archive.relocation import relocate
from wq_package.build.conda.channels import scrub_url
from wq_package.build.conda.conda_meta import InstalledPath, render_conda_meta
from wq_package.build.conda.extracted import ExtractedPackage
from wq_package.build.conda.ownership import find_ownership, sort_dependencies_first
from wq_package.build.conda.package_files import PackageFile
from wq_package.build.conda.records import parse_record
from wq_package.build.conda.restore import iter_originals

WORDS = st.text(string.ascii_lowercase + string.digits, min_size=8, max_size=12)
NAMES = st.sampled_from("abcdef")


@given(user=WORDS, password=WORDS, token=WORDS, name=WORDS)
def test_scrub_url__no_secret_survives(user: str, password: str, token: str, name: str) -> None:
    url = f"https://{user}:{password}@example.org:8080/t/{token}/{name}/noarch/a.conda?key={token}"
    scrubbed = scrub_url(url, keep=3)
    assert scrubbed == f"https://example.org:8080/{name}/noarch/a.conda"


@given(folders=st.lists(WORDS, min_size=1, max_size=5), name=WORDS)
def test_scrub_url__no_folder_above_a_local_channel_survives(folders: list[str], name: str) -> None:
    above = "/".join(f"above-{folder}" for folder in folders)
    assert scrub_url(f"file:///{above}/{name}/noarch/a.conda", keep=3) == f"file:///{name}/noarch/a.conda"


@given(
    paths=st.lists(st.builds(InstalledPath, WORDS, st.just("hardlink"), WORDS), unique=True), data=st.data()
)
def test_render_conda_meta__order_does_not_matter(paths: list[InstalledPath], data: st.DataObject) -> None:
    fields = {"name": "a", "version": "1", "build": "0", "fn": "a", "url": "https://example.org/a.conda"}
    record = parse_record(fields)
    text = render_conda_meta(record, data.draw(st.permutations(paths)))
    assert text == render_conda_meta(record, paths)
    assert json.loads(text)["name"] == "a"


def _make(name: str, paths: set[str], depends: set[str]) -> ExtractedPackage:
    fields = {"name": name, "version": "1", "build": "0", "fn": "", "url": "", "depends": sorted(depends)}
    files = tuple(map(PackageFile, sorted(paths)))
    return ExtractedPackage(parse_record(fields), Path("/nowhere"), files, {}, "lib/python3.11/site-packages")


PACKAGES = st.dictionaries(NAMES, st.tuples(st.sets(st.sampled_from(["x", "y", "z"])), st.sets(NAMES))).map(
    lambda chosen: [_make(name, *parts) for name, parts in chosen.items()]
)


@given(packages=PACKAGES, data=st.data())
def test_find_ownership__each_path_has_one_owner_whatever_the_order(
    packages: list[ExtractedPackage], data: st.DataObject
) -> None:
    found = find_ownership(packages)
    kept = [
        (path, package.record.name)
        for package in packages
        for path in package.iter_targets()
        if path not in found.shadowed[package.record.name]
    ]
    assert sorted(kept) == sorted(found.owners.items())
    assert find_ownership(data.draw(st.permutations(packages))) == found


@given(packages=PACKAGES)
def test_sort_dependencies_first__every_package_once_and_late_enough(
    packages: list[ExtractedPackage],
) -> None:
    ordered = sort_dependencies_first(packages)
    names = [package.record.name for package in ordered]
    assert sorted(names) == sorted(package.record.name for package in packages)
    for place, package in enumerate(ordered):
        for depend in package.record.depends:
            is_cycle = depend in names and _reaches(depend, package.record.name, packages)
            assert depend not in names or is_cycle or names.index(depend) < place


def _reaches(start: str, end: str, packages: list[ExtractedPackage]) -> bool:
    depends = {package.record.name: package.record.depends for package in packages}
    seen, waiting = set[str](), [start]
    while waiting:
        name = waiting.pop()
        if name == end:
            return True
        if name not in seen:
            seen.add(name)
            waiting += depends.get(name, ())
    return False


PLACEHOLDER = "/placeholder" * 20
PIECES = st.lists(st.binary(max_size=20).filter(lambda piece: b"/" not in piece), min_size=1, max_size=6)


@given(pieces=PIECES, prefix=WORDS)
def test_iter_originals__binary__undoes_what_unpacking_did(pieces: list[bytes], prefix: str) -> None:
    original = (PLACEHOLDER.encode() + b"/lib\0").join(piece + b"\0" for piece in pieces)
    relocation = Relocation("a", RelocationMode.BINARY, PLACEHOLDER)
    installed = relocate(original, relocation, f"/{prefix}")
    found = iter_originals(installed, relocation.mode, f"/{prefix}".encode(), PLACEHOLDER.encode())
    assert original in list(found)


@given(
    pieces=PIECES,
    folders=st.lists(WORDS, min_size=1, max_size=20),
    program=st.sampled_from(["python", "python3.11"]),
)
def test_iter_originals__script__undoes_what_unpacking_did(
    pieces: list[bytes], folders: list[str], program: str
) -> None:
    prefix = "/" + "/".join(folders)
    first = f"#!{PLACEHOLDER}/bin/{program}\n".encode()
    original = first + f"{PLACEHOLDER}/share".encode().join(pieces)
    relocation = Relocation("bin/a", RelocationMode.TEXT, PLACEHOLDER)
    installed = relocate(original, relocation, prefix)
    found = iter_originals(installed, relocation.mode, prefix.encode(), PLACEHOLDER.encode())
    assert original in list(found)
