from __future__ import annotations

import os
from dataclasses import replace

import pytest

from wq_package.archive.layer import FORMAT_VERSION, ArchiveIndex, Compression
from wq_package.archive.platform import check_machine, check_platform, find_glibc
from wq_package.errors import IncompatibleEnvironmentError

_INDEX = ArchiveIndex(FORMAT_VERSION, "0" * 64, Compression.ZSTD, "3.11.7", "x86_64", (2, 28), ())


@pytest.mark.parametrize("glibc", [(2, 28), (2, 40), (3, 0)])
def test_check_machine__new_enough__is_well(glibc: tuple[int, int]) -> None:
    check_machine(_INDEX, "x86_64", glibc)


def test_check_machine__environment_for_any_machine__is_well() -> None:
    check_machine(replace(_INDEX, machine="", glibc=None), "sparc", None)


@pytest.mark.parametrize(
    ("machine", "glibc", "sentence"),
    [
        ("aarch64", (2, 40), "is for x86_64, and this machine is aarch64"),
        ("x86_64", (2, 17), "needs glibc 2.28 or newer, and this machine has glibc 2.17"),
        ("x86_64", (2, 9), "and this machine has glibc 2.9"),
        ("x86_64", None, "this machine has no glibc"),
    ],
)
def test_check_machine__does_not_fit__names_both(
    machine: str, glibc: tuple[int, int] | None, sentence: str
) -> None:
    with pytest.raises(IncompatibleEnvironmentError, match=sentence) as caught:
        check_machine(_INDEX, machine, glibc)
    assert caught.value.hint


def test_check_platform__this_machine__fits_itself_and_no_other() -> None:
    check_platform(replace(_INDEX, machine=os.uname().machine, glibc=find_glibc()))
    with pytest.raises(IncompatibleEnvironmentError):
        check_platform(replace(_INDEX, machine="pdp11"))
    with pytest.raises(IncompatibleEnvironmentError):
        check_platform(replace(_INDEX, machine="", glibc=(99, 0)))
