from __future__ import annotations

import logging
from pathlib import Path

import pytest

from small_archives import make_layer
from wq_package.archive.layer import Compression
from wq_package.build.layer_cache import CachedLayer, LayerCache
from wq_package.build.overlaps import check_overlaps, explain_overlaps, find_case_twins
from wq_package.errors import BuildError


def _keep(cache: LayerCache, folder: Path, name: str, members: dict[str, bytes]) -> CachedLayer:
    stored, data = make_layer(dict(members), name, compression=Compression.GZIP)
    path = folder / name
    path.write_bytes(data)
    return CachedLayer(stored, path)


@pytest.fixture
def cache(tmp_path: Path) -> LayerCache:
    return LayerCache(tmp_path / "cache")


def test_explain__equal_contents__is_nothing_to_say() -> None:
    assert explain_overlaps({"a 1": {"google/__init__.py": "x"}, "b 1": {"google/__init__.py": "x"}}) is None


def test_explain__different_contents__names_both_and_the_path() -> None:
    error = explain_overlaps({"b 2": {"bin/tool": "y", "n": "1"}, "a 1": {"bin/tool": "x", "m": "1"}})
    assert str(error) == "`a 1` and `b 2` both have `bin/tool`, with different contents"
    assert error is not None
    assert error.hint


def test_explain__many_paths__shows_the_first_three() -> None:
    files = {name: {f"p{number}": name for number in range(5)} for name in ("a", "b")}
    assert str(explain_overlaps(files)) == "`a` and `b` both have `p0`, `p1`, `p2` …, with different contents"


def test_explain__bytecode_of_it__is_not_named_again() -> None:
    files = {"a": {"x.py": "1", "__pycache__/x.pyc": "1"}, "b": {"x.py": "2", "__pycache__/x.pyc": "2"}}
    assert ".pyc" not in str(explain_overlaps(files))


def test_case_twins__are_found_wherever_they_are() -> None:
    assert find_case_twins(["b/X", "a", "b/x", "A"]) == [("A", "a"), ("b/X", "b/x")]


def test_check__overlap__is_refused_every_time(cache: LayerCache, tmp_path: Path) -> None:
    layers = [_keep(cache, tmp_path, "a", {"bin/t": b"1"}), _keep(cache, tmp_path, "b", {"bin/t": b"2"})]
    for _ in range(2):
        with pytest.raises(BuildError, match=r"`a 1.0` and `b 1.0` both have `bin/t`"):
            check_overlaps(layers, cache)


def test_check__no_overlap__is_read_once(cache: LayerCache, tmp_path: Path) -> None:
    layers = [_keep(cache, tmp_path, "a", {"x": b"1"}), _keep(cache, tmp_path, "b", {"y": b"2"})]
    check_overlaps(layers, cache)
    layers[0].path.unlink()
    check_overlaps(layers, cache)


def test_check__case_twins__are_warned_of(
    cache: LayerCache, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    layers = [_keep(cache, tmp_path, "a", {"Demo.py": b"1"}), _keep(cache, tmp_path, "b", {"demo.py": b"1"})]
    with caplog.at_level(logging.WARNING):
        check_overlaps(layers, cache)
    assert "differ only in case" in caplog.text
    assert "Demo.py, demo.py" in caplog.text
