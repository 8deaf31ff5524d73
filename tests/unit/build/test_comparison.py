from __future__ import annotations

from wq_package.build.comparison import Holdings, Package, compare


def _hold(*packages: Package) -> Holdings:
    return Holdings({package.name: package for package in packages})


def _make(name: str, version: str = "1", kind: str = "wheel", **files: str) -> Package:
    return Package(kind, name, version, files)


def test_compare__equal__nothing_differs() -> None:
    found = compare(_hold(_make("a", x="1")), _hold(_make("a", x="1")))
    assert found.is_equal
    assert (found.files_added, found.files_removed, found.files_changed) == (0, 0, 0)


def test_compare__more_and_less__are_sorted_by_name() -> None:
    found = compare(_hold(_make("z", f="1"), _make("y")), _hold(_make("b", g="1", h="2"), _make("a")))
    assert [each.name for each in found.added] == ["a", "b"]
    assert [each.name for each in found.removed] == ["y", "z"]
    assert (found.files_added, found.files_removed) == (2, 1)


def test_compare__other_version__counts_its_files() -> None:
    old, new = _make("a", "1", p="1", q="1", r="1"), _make("a", "2", p="2", q="1", s="1")
    (change,) = compare(_hold(old), _hold(new)).changed
    assert (change.old.version, change.new.version, change.files) == ("1", "2", 3)
    assert not change.is_same_version


def test_compare__same_version_edited__is_a_change() -> None:
    (change,) = compare(_hold(_make("a", p="1")), _hold(_make("a", p="2"))).changed
    assert change.is_same_version
    assert change.files == 1


def test_compare__wheel_against_conda__is_a_change_though_no_file_differs() -> None:
    (change,) = compare(_hold(_make("a")), _hold(_make("a", kind="conda"))).changed
    assert change.files == 0


def test_compare__file_moved_to_another_package__is_no_file_added() -> None:
    found = compare(_hold(_make("a", p="1"), _make("b")), _hold(_make("a"), _make("b", p="1")))
    assert (found.files_added, found.files_removed, found.files_changed) == (0, 0, 0)
    assert [change.files for change in found.changed] == [1, 1]
