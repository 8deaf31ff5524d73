from __future__ import annotations

import json
from pathlib import Path

import pytest

from small_archives import make_archive, make_layer
from wq_package.archive.layer import LayerHeader, LayerKind
from wq_package.build.bill import make_sbom
from wq_package.build.sbom import parse_conda_record, parse_distribution_metadata
from wq_package.errors import CorruptArchiveError

_SITE = "lib/python3.11/site-packages"


def test_metadata__licence_expression__is_taken() -> None:
    found = parse_distribution_metadata("Name: a\nLicense-Expression: MIT AND Zlib\nLicense: x\n")
    assert found.expression == "MIT AND Zlib"


def test_metadata__whole_text_as_licence__classifiers_count() -> None:
    text = "Name: a\nLicense: Copyright\n        All rights\nClassifier: License :: OSI Approved :: MIT License\n"
    assert parse_distribution_metadata(text).licences == ("MIT License",)


def test_metadata__description_that_looks_like_a_field__is_not_read() -> None:
    assert parse_distribution_metadata("Name: a\n\nLicense: fake\n").licences == ()


def test_metadata__requirements__by_canonical_name() -> None:
    text = 'Requires-Dist: Foo.Bar[x]>=1; extra == "y"\nRequires-Dist: foo_bar\nRequires-Dist: zed\n'
    assert parse_distribution_metadata(text).requires == ("foo-bar", "zed")


def test_conda_record__qualifiers__name_build_channel_and_folder() -> None:
    fields = {
        "build": "py_0",
        "channel": "https://example.org/forge",
        "subdir": "noarch",
        "url": "https://example.org/forge/noarch/a-1-py_0.conda",
        "license": "MIT",
        "depends": ["python >=3", "b"],
    }
    found = parse_conda_record(json.dumps(fields))
    assert dict(found.qualifiers) == {
        "build": "py_0",
        "channel": "forge",
        "subdir": "noarch",
        "type": "conda",
    }
    assert found.licences == ("MIT",)
    assert found.requires == ("b", "python")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    conda = LayerHeader(LayerKind.CONDA, "libz", "1.3", "h1_0", source="sha256:" + "ab" * 32)
    metadata = b"Name: My.Pkg\nRequires-Dist: other\nRequires-Dist: absent\n"
    layers = [
        make_layer({"bin/python3": b"x"}, header=LayerHeader(LayerKind.INTERPRETER, "python", "3.11.7")),
        make_layer({"bin/run": b"x"}, header=LayerHeader(LayerKind.LAUNCHER, "launcher", "3.11")),
        make_layer({"conda-meta/libz-1.3-h1_0.json": b'{"build": "h1_0"}'}, header=conda),
        make_layer({f"{_SITE}/My.Pkg-1.0+local.dist-info/METADATA": metadata}, "My.Pkg", version="1.0+local"),
        make_layer({f"{_SITE}/other.py": b""}, "other"),
        make_layer({f"{_SITE}/mine.py": b""}, header=LayerHeader(LayerKind.LOCAL, "mine", "0123")),
    ]
    return make_archive(tmp_path, layers)[0]


def test_sbom__every_kind_of_layer__has_its_package_url(archive: Path) -> None:
    components = json.loads(make_sbom(archive))["components"]
    assert [each["purl"] for each in components] == [
        "pkg:generic/python@3.11.7",
        "pkg:conda/libz@1.3?build=h1_0",
        "pkg:pypi/my-pkg@1.0%2Blocal",
        "pkg:pypi/other@1.0",
        "pkg:generic/mine@0123",
    ]
    assert components[1]["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]


def test_sbom__dependencies__name_components_only(archive: Path) -> None:
    document = json.loads(make_sbom(archive))
    names = {each["bom-ref"]: each["name"] for each in document["components"]}
    needed = {names.get(each["ref"]): each["dependsOn"] for each in document["dependencies"]}
    assert [names[ref] for ref in needed["My.Pkg"]] == ["other"]
    assert set(needed[None]) == set(names)


def test_sbom__made_twice_of_a_copy__is_the_same(archive: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.tar.zst"
    copy.write_bytes(archive.read_bytes())
    assert make_sbom(copy) == make_sbom(archive)


def test_sbom__damaged_conda_record__is_one_sentence(tmp_path: Path) -> None:
    header = LayerHeader(LayerKind.CONDA, "libz", "1.3", "h1_0")
    path, _ = make_archive(tmp_path, [make_layer({"conda-meta/libz-1.3-h1_0.json": b"["}, header=header)])
    with pytest.raises(CorruptArchiveError, match="the record of `libz` is damaged"):
        make_sbom(path)
