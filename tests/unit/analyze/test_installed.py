from __future__ import annotations

import os
import sys
from pathlib import Path

from fake_environments import make_environment
from wq_package.analyze.installed import load_installed, make_default_search_path


def test_load_installed__unchanged_environment__is_kept(tmp_path: Path) -> None:
    site = make_environment(tmp_path, [{"name": "foo", "version": "1"}])

    assert load_installed((str(site),)) is load_installed((str(site),))


def test_load_installed__something_installed__is_seen(tmp_path: Path) -> None:
    site = make_environment(tmp_path / "one", [{"name": "foo", "version": "1"}])
    os.utime(site, (1, 1))
    before = load_installed((str(site),))
    other = make_environment(tmp_path / "two", [{"name": "bar", "version": "2"}])
    (other / "bar-2.dist-info").rename(site / "bar-2.dist-info")

    assert before.find_distribution("bar") is None
    assert load_installed((str(site),)).find_distribution("Bar") is not None


def test_find_owners__file_in_record__is_owned(tmp_path: Path) -> None:
    site = make_environment(
        tmp_path, [{"name": "foo-bar", "version": "1", "files": ["fb/__init__.py", "fb.py"]}]
    )
    installed = load_installed((str(site),))

    assert [d.name for d in installed.find_owners(f"{site}/fb/__init__.py")] == ["foo-bar"]
    assert installed.find_owners(f"{site}/other.py") == ()
    assert installed.find_owners("/elsewhere/fb.py") == ()


def test_load_installed__unreadable_metadata__is_marked_and_does_not_end_it(tmp_path: Path) -> None:
    site = make_environment(tmp_path, [{"name": "foo", "version": "1"}])
    (site / "foo-1.dist-info" / "METADATA").write_bytes(b"\xff\xfe\x00")
    (site / "foo-1.dist-info" / "RECORD").write_bytes(b"\xff\xfe\x00")
    (site / "lone.dist-info").write_text("a file where a folder should be")
    installed = load_installed((str(site),))
    distribution = installed.find_distribution("foo")

    assert distribution is not None
    assert installed.read_metadata(distribution).version == "1"
    assert distribution.is_broken


def test_make_default_search_path__has_what_is_installed_and_not_the_standard_library() -> None:
    path = make_default_search_path()

    assert any(entry.endswith("site-packages") for entry in path)
    assert not any(
        entry.endswith(("lib-dynload", f"python{sys.version_info[0]}.{sys.version_info[1]}"))
        for entry in path
    )
