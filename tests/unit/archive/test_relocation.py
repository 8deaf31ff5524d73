from __future__ import annotations

import pytest

from wq_package.archive.layer import Relocation, RelocationMode
from wq_package.archive.relocation import relocate
from wq_package.errors import ArchiveError, UnsafeMemberError

_OLD = "/placeholder" * 8
_TEXT = Relocation("etc/x", RelocationMode.TEXT, _OLD)
_BINARY = Relocation("lib/x", RelocationMode.BINARY, _OLD)


def test_relocate__text__every_occurrence_is_replaced() -> None:
    data = f"a={_OLD}/lib\nb={_OLD}:{_OLD}/x\n".encode()
    assert relocate(data, _TEXT, "/new/ö") == "a=/new/ö/lib\nb=/new/ö:/new/ö/x\n".encode()


def test_relocate__binary__strings_keep_their_length() -> None:
    data = b"\x7fELF\0" + f"{_OLD}/lib:{_OLD}/x".encode() + b"\0tail" + _OLD.encode() + b"\0\0more"
    done = relocate(data, _BINARY, "/new")
    assert len(done) == len(data)
    assert done.startswith(b"\x7fELF\0/new/lib:/new/x\0")
    assert b"\0tail/new\0" in done
    assert done.endswith(b"\0\0more")
    assert _OLD.encode() not in done


def test_relocate__binary_without_a_terminator__is_left_alone() -> None:
    assert relocate(b"x" + _OLD.encode(), _BINARY, "/new") == b"x" + _OLD.encode()


def test_relocate__prefix_as_long_as_the_placeholder__fits() -> None:
    prefix = "/" + "n" * (len(_OLD) - 1)
    assert relocate(_OLD.encode() + b"\0", _BINARY, prefix) == prefix.encode() + b"\0"
    with pytest.raises(ArchiveError, match="has room for"):
        relocate(_OLD.encode() + b"\0", _BINARY, prefix + "n")


def test_relocate__first_line_of_a_script_that_fits__stays_one_line() -> None:
    assert relocate(f"#!{_OLD}/bin/python3 -E\nx\n".encode(), _TEXT, "/new") == b"#!/new/bin/python3 -E\nx\n"


def test_relocate__first_line_of_another_program__finds_it_on_the_path() -> None:
    assert relocate(f"#!{_OLD}/bin/perl -w\nx\n".encode(), _TEXT, "/a b") == b"#!/usr/bin/env perl\nx\n"


@pytest.mark.parametrize("prefix", ["/with blank", "/" + "long" * 40])
def test_relocate__first_line_that_the_kernel_could_not_read__is_one_for_sh(prefix: str) -> None:
    lines = relocate(f"#!{_OLD}/bin/python3 -I\nx\n".encode(), _TEXT, prefix).decode().splitlines()
    assert lines == ["#!/bin/sh", f'\'\'\'exec\' "{prefix}/bin/python3" -I "$0" "$@"', "' '''", "x"]


def test_relocate__text_that_would_grow_without_measure__is_refused() -> None:
    slash = Relocation("etc/x", RelocationMode.TEXT, "/")
    assert relocate(b"/" * 1000, slash, "/some/where") == b"/some/where" * 1000
    with pytest.raises(UnsafeMemberError, match="very much longer"):
        relocate(b"/" * 2**21, slash, "/some/where")
